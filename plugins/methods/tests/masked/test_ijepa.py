import itertools
import math

import pytest
import torch

from lightly_methods.masked.ijepa import block_loss, block_targets

GRID = list(itertools.product([1, 2], [1, 3], [2, 4], [3, 8]))


def plain_loss(prediction, patches, targets):
    total, count = 0.0, 0
    for b, blocks in enumerate(targets.tolist()):
        for t, block in enumerate(blocks):
            for m, number in enumerate(block):
                row = patches[b, number].tolist()
                mean = sum(row) / len(row)
                variance = sum((x - mean) ** 2 for x in row) / len(row)
                for p, x in zip(prediction[b, t, m].tolist(), row, strict=True):
                    distance = abs(p - (x - mean) / math.sqrt(variance + 1e-5))
                    total += distance**2 / 2 if distance < 1 else distance - 0.5
                    count += 1
    return total / count


@pytest.mark.parametrize(("batch_size", "num_targets", "size", "dim"), GRID)
def test_matches_the_plain_loop(generator, batch_size, num_targets, size, dim):
    def draw(*shape):
        return 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    patches, prediction = draw(batch_size, 9, dim), draw(batch_size, num_targets, size, dim)
    order = torch.rand(batch_size, num_targets, 9, generator=generator).argsort(dim=2)
    targets = order[..., :size]
    loss = block_loss(prediction, block_targets(patches, targets))
    assert loss.item() == pytest.approx(plain_loss(prediction, patches, targets), rel=1e-9)


def test_targets_are_normalised_over_features_and_carry_no_gradient(generator):
    patches = (3 + torch.randn(2, 9, 64, generator=generator)).requires_grad_()
    found = block_targets(patches, torch.arange(4).expand(2, 1, 4))
    assert not found.requires_grad
    torch.testing.assert_close(found.mean(dim=3), torch.zeros(2, 1, 4), atol=1e-5, rtol=0)
    variance = found.var(dim=3, unbiased=False)
    torch.testing.assert_close(variance, torch.ones(2, 1, 4), atol=1e-4, rtol=0)


def test_a_block_is_predicted_as_if_it_were_the_only_one(make_case):
    case = make_case("ijepa")
    method, batch = case.build(), case.batch()
    losses = []
    targets = batch.extras["targets"]
    for block in range(targets.shape[1]):
        batch.extras["targets"] = targets[:, block : block + 1]
        losses.append(method.training_step(batch, 0).loss)
    batch.extras["targets"] = targets
    torch.testing.assert_close(method.training_step(batch, 0).loss, torch.stack(losses).mean())


def test_predictions_belong_to_their_targets(make_case):
    """The order of targets does not matter, whose features stand for whom does."""
    case = make_case("ijepa")
    method, batch = case.build(), case.batch()
    loss = method.training_step(batch, 0).loss
    targets = batch.extras["targets"]
    batch.extras["targets"] = targets.flip(2).flip(1)
    torch.testing.assert_close(method.training_step(batch, 0).loss, loss)
    forward = method.predictor.forward
    method.predictor.forward = lambda *args: forward(*args).flip(1)
    assert abs(method.training_step(batch, 0).loss - loss) > 1e-5


def test_the_teacher_sees_the_whole_image(make_case):
    case = make_case("ijepa")
    method, batch = case.build(), case.batch()
    loss = method.training_step(batch, 0).loss
    extras = {"keep": batch.extras["keep"], "targets": batch.extras["targets"]}
    rest = torch.ones(8, 16, dtype=torch.bool)
    rest.scatter_(1, extras["keep"], False).scatter_(1, extras["targets"].flatten(1), False)
    assert rest.any()  # patches that are neither seen by the student nor predicted
    pixels = rest.reshape(8, 1, 4, 4).float().repeat_interleave(8, 2).repeat_interleave(8, 3)
    batch.views[0] = batch.views[0] + pixels
    assert method.training_step(batch, 0).loss != loss
