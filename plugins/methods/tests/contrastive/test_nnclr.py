import math

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture
def nnclr(make_case):
    def make(**changes):
        case = make_case("nnclr", **changes)
        return case.build(), case.batch()

    return make


def outputs(method, batch):
    """Projections and predictions of both views, computed by hand."""
    with torch.no_grad():
        projections = [method.projector(method.model(view)) for view in batch.views]
        return projections, [method.predictor(projection) for projection in projections]


def plain_loss(neighbours, predictions, temperature):
    total = 0.0
    for i, neighbour in enumerate(neighbours):
        chances = [
            math.exp(float(F.cosine_similarity(neighbour, p, dim=0)) / temperature)
            for p in predictions
        ]
        total -= math.log(chances[i] / sum(chances)) / len(neighbours)
    return total


def plain_nt_xent(first, second, temperature):
    rows = [*first, *second]
    total = 0.0
    for i, row in enumerate(rows):
        chances = {
            k: math.exp(float(F.cosine_similarity(row, other, dim=0)) / temperature)
            for k, other in enumerate(rows)
            if k != i
        }
        pair = (i + len(first)) % len(rows)
        total -= math.log(chances[pair] / sum(chances.values())) / len(rows)
    return total


@pytest.mark.parametrize(
    ("negatives", "plain"), [("predictions", plain_loss), ("all", plain_nt_xent)]
)
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_a_step_matches_the_plain_loop(nnclr, negatives, plain, temperature):
    method, batch = nnclr(negatives=negatives, temperature=temperature)
    queue = F.normalize(torch.randn(10, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    method.queue.push(queue)
    projections, predictions = outputs(method, batch)
    neighbours = []
    for rows in projections:
        found = [max(queue, key=lambda q, row=row: float(q @ row)) for row in rows]
        neighbours.append(torch.stack(found))
    expected = plain(neighbours[0], predictions[1], temperature)
    expected += plain(neighbours[1], predictions[0], temperature)
    loss = method.training_step(batch, 0).loss.item()
    assert loss == pytest.approx(expected / 2, rel=1e-4)


def test_in_the_first_step_each_view_is_its_own_neighbour(nnclr):
    method, batch = nnclr()
    projections, predictions = outputs(method, batch)
    expected = plain_loss(projections[0], predictions[1], 0.1)
    expected += plain_loss(projections[1], predictions[0], 0.1)
    result = method.training_step(batch, 0)
    assert result.loss.item() == pytest.approx(expected / 2, rel=1e-4)
    assert result.metrics["queue/cosine"].item() == pytest.approx(1)


def test_the_queue_takes_the_projections_of_the_first_view_after_the_lookup(nnclr):
    method, batch = nnclr()
    projections, _ = outputs(method, batch)
    method.training_step(batch, 0)
    torch.testing.assert_close(method.queue.rows(), F.normalize(projections[0], dim=1))


def test_gradient_comes_through_the_predictions_only(nnclr):
    method, batch = nnclr()
    for parameter in method.predictor.parameters():
        parameter.data.zero_()
    method.training_step(batch, 0).loss.backward()
    # A predictor of zeros lets nothing through, and neighbours let nothing through anyway.
    assert all(p.grad.abs().sum() == 0 for p in method.projector.parameters())


def test_every_parameter_gets_a_gradient(nnclr):
    method, batch = nnclr()
    method.training_step(batch, 0).loss.backward()
    assert [name for name, p in method.named_parameters() if p.grad is None] == []


def test_heads_are_those_of_the_paper(nnclr):
    method, _ = nnclr()
    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    names = [type(layer).__name__ for layer in method.projector]
    assert names == [*hidden, *hidden, "Linear", "BatchNorm1d"]
    assert [type(layer).__name__ for layer in method.predictor] == [*hidden, "Linear"]


def test_the_backward_pass_survives_the_push(nnclr):
    method, batch = nnclr(queue_size=8)
    for _ in range(3):
        method.training_step(batch, 0).loss.backward()
    assert len(method.queue) == 8
