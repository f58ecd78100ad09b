import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from lightly_core.config.options.method import RunFacts
from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_methods.masked.capi import ClusterHead, PredictionHead, assign
from lightly_methods.masked.capi_config import CAPIConfig


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


GRID = list(itertools.product([2, 6], [1, 4], [3, 8], [1, 3]))


@pytest.mark.parametrize(("batch_size", "positions", "clusters", "iterations"), GRID)
def test_positions_are_assigned_one_by_one(
    plain_sinkhorn, batch_size, positions, clusters, iterations
):
    logits = draw(batch_size, positions, clusters)
    found = assign(logits, 0.3, iterations)
    for n in range(positions):
        expected = plain_sinkhorn((logits[:, n] / 0.3).exp(), iterations)
        torch.testing.assert_close(found[:, n], expected, rtol=1e-8, atol=1e-12)


def test_a_cluster_cannot_stand_for_a_place():
    # Features that depend on the place only: at each place all clusters are used equally.
    logits = (10 * draw(1, 5, 4)).expand(8, 5, 4)
    found = assign(logits, 0.06, 3)
    torch.testing.assert_close(found, torch.full_like(found, 0.25))


def test_clusters_have_the_length_of_the_root_of_the_width_and_a_bias():
    head, x = ClusterHead(16, 5).double(), draw(2, 3, 16)
    assert head.bias.tolist() == [0] * 5
    with torch.no_grad():
        head.bias += torch.arange(5)
    cosines = F.cosine_similarity(x[:, :, None], head.prototypes.weight[None, None], dim=3)
    torch.testing.assert_close(head(x), 4 * cosines + torch.arange(5))


def test_the_students_head_is_a_weight_normalised_layer_whose_gain_starts_at_one():
    head, x = PredictionHead(16, 5).double(), draw(2, 3, 16)
    linear = torch.nn.Linear(16, 5, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(head.prototypes.weight)
    linear = torch.nn.utils.parametrizations.weight_norm(linear)
    gain, weight = linear.parametrizations.weight.parameters()
    for factors in (torch.ones(5), torch.arange(1.0, 6.0)):
        with torch.no_grad():
            gain.copy_(factors[:, None])
            head.prototypes.gain.mul_(factors)
        logits, expected = head(x), linear(x / x.norm(dim=2, keepdim=True))
        torch.testing.assert_close(logits, expected)
        (head.prototypes.gain.grad, head.prototypes.weight.grad) = (None, None)
        (gain.grad, weight.grad) = (None, None)
        logits.square().sum().backward()
        expected.square().sum().backward()
        torch.testing.assert_close(head.prototypes.gain.grad, gain.grad[:, 0])
        torch.testing.assert_close(head.prototypes.weight.grad, weight.grad)


def test_the_prediction_starts_near_the_uniform_one():
    # At the paper's width a cosine of random directions deviates by 1 / sqrt(768) = 0.036.
    torch.manual_seed(0)
    logits = PredictionHead(768, 1024)(draw(2, 16, 768).float())
    assert logits.std().item() == pytest.approx(768**-0.5, rel=0.02)
    assignments = torch.softmax(draw(2, 16, 1024, seed=1), dim=2)
    start = soft_cross_entropy(assignments, logits, 0.12).mean().item()
    assert start == pytest.approx(math.log(1024) + (768**-0.5 / 0.12) ** 2 / 2, abs=0.02)


def test_a_step_is_the_sum_of_the_two_losses_in_the_right_places(make_case):
    case = make_case("capi", predicted_share=0.5)
    method, batch = case.build(), case.batch()
    result = method.training_step(batch, 0)
    image, predict = batch.views[0], batch.extras["predict"]
    with torch.no_grad():
        patches = method.teacher["backbone"].forward_tokens(image)["patch_tokens"]
        logits = method.clustering(patches)
        targets = assign(logits, 0.06, 3)
        tokens = method.model.forward_tokens(image, keep=batch.extras["keep"])
        prediction = method.head(method.predictor(tokens, batch.extras["keep"], predict))
    clustering = torch.stack(
        [F.cross_entropy(logits[b] / 0.12, targets[b]) for b in range(8)]
    ).mean()
    rows = [
        F.cross_entropy(prediction[b, m] / 0.12, targets[b, int(n)])
        for b in range(8)
        for m, n in enumerate(predict[b])
    ]
    torch.testing.assert_close(result.loss, clustering + torch.stack(rows).mean())
    torch.testing.assert_close(result.metrics["train_loss/clustering"], clustering)


def test_the_clustering_trains_the_clusters_only(make_case):
    case = make_case("capi")
    method = case.build()
    method.training_step(case.batch(), 0).loss.backward()
    assert method.clustering.prototypes.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in method.teacher.parameters())
    assert method.clustering.bias.grad.abs().sum() > 0
    decayed, bias = [g for g in method.parameter_groups() if g.lr_scale != 1]
    assert (decayed.lr_scale, decayed.weight_decay) == (0.5, True)
    assert [id(p) for p in decayed.parameters] == [id(method.clustering.prototypes.weight)]
    assert (bias.lr_scale, bias.weight_decay) == (0.5, False)
    assert [id(p) for p in bias.parameters] == [id(method.clustering.bias)]


def test_the_teacher_stands_still_at_first(make_case):
    method = make_case("capi", momentum_start=0.9).build()
    momenta = [method.momentum(step) for step in range(100)]
    assert momenta[0] == 1
    assert momenta[9] == pytest.approx(0.9)
    assert momenta[99] == 1
    assert momenta[:10] == sorted(momenta[:10], reverse=True)
    assert momenta[10:] == sorted(momenta[10:])


@pytest.mark.parametrize(
    ("images", "batch_size", "clusters", "share"),
    [(1000, 32, 1024, 1.0), (60_000, 128, 4096, 0.5), (1_281_167, 16_384, 16_384, 0.05)],
)
def test_sizes_follow_data_and_batch(images, batch_size, clusters, share):
    facts = RunFacts(
        dataset_size=images, effective_batch_size=batch_size, total_steps=1000, steps_per_epoch=10
    )
    config = CAPIConfig().resolve(facts)
    assert (config.num_clusters, config.predicted_share) == (clusters, share)
