"""LeJEPA and VISReg: losses, which views count, directions of each step."""

import itertools
import math
from statistics import NormalDist

import pytest
import torch

from lightly_core.contracts import Batch
from lightly_core.errors import ConfigError
from lightly_core.parts.sliced import random_slices, sliced_wasserstein
from lightly_core.testing.models import TinyConv
from lightly_methods.decorrelation.lejepa import prediction_loss
from lightly_methods.decorrelation.visreg import visreg_terms

GRID = list(itertools.product([2, 4], [2, 5], [1, 3]))
METHODS = ["lejepa", "visreg"]


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def slices_for(x, num_slices=5):
    return random_slices(num_slices, x.shape[-1], step=0, like=x)


@pytest.fixture
def case_of(make_case):
    return lambda name, **changes: make_case(name, wrapper=TinyConv, **changes)


# --------------------------------------------------------------------------- losses


@pytest.mark.parametrize(("num_views", "batch_size", "dim"), GRID)
def test_prediction_loss_matches_the_plain_loop(num_views, batch_size, dim):
    views, num_global = draw(num_views, batch_size, dim), 2
    total = 0.0
    for b, p in itertools.product(range(batch_size), range(dim)):
        centre = sum(views[u, b, p].item() for u in range(num_global)) / num_global
        total += sum((views[v, b, p].item() - centre) ** 2 for v in range(num_views))
    expected = total / (num_views * batch_size * dim)
    assert prediction_loss(views, num_global).item() == pytest.approx(expected)


def test_equal_views_have_no_distance_and_gradient_flows_into_both_sides():
    views = draw(1, 3, 4).expand(3, -1, -1)
    assert prediction_loss(views, 2).item() == 0
    views = draw(3, 3, 4).requires_grad_()
    prediction_loss(views, 1)[None].backward()
    assert all(gradient.abs().sum() > 0 for gradient in views.grad)


@pytest.mark.parametrize(("num_views", "batch_size", "dim"), GRID)
def test_visreg_terms_match_the_plain_loop(num_views, batch_size, dim):
    views = 2 * draw(num_views, batch_size, dim) + 0.5
    slices = slices_for(views)
    scale = shape = centre = 0.0
    for view in views.tolist():
        means = [sum(row[p] for row in view) / batch_size for p in range(dim)]
        stds = [
            math.sqrt(sum((row[p] - means[p]) ** 2 for row in view) / batch_size)
            for p in range(dim)
        ]
        centre += sum(mean**2 for mean in means) / dim
        scale += sum((1 - std) ** 2 for std in stds) / dim
        for direction in slices.tolist():
            x = sorted(
                sum(direction[p] * (row[p] - means[p]) / (stds[p] + 1e-4) for p in range(dim))
                for row in view
            )
            wanted = [NormalDist().inv_cdf((n + 1) / (batch_size + 1)) for n in range(batch_size)]
            length = math.sqrt(sum(w**2 for w in wanted) / batch_size)
            errors = [(a - b / length) ** 2 for a, b in zip(x, wanted, strict=True)]
            shape += sum(errors) / batch_size / len(slices)
    found = [term.item() for term in visreg_terms(views, slices)]
    assert found == pytest.approx([total / num_views for total in (scale, shape, centre)])


def test_the_shape_term_does_not_see_the_scale():
    views = draw(1, 8, 3)
    slices = slices_for(views)
    terms, longer = visreg_terms(views, slices), visreg_terms(7 * views, slices)
    torch.testing.assert_close(longer.shape, terms.shape, rtol=1e-3, atol=0)
    assert (longer.scale - terms.scale).abs() > 1


def test_no_gradient_of_the_shape_term_flows_through_the_deviations():
    views = draw(1, 8, 3).requires_grad_()
    slices = slices_for(views)
    (found,) = torch.autograd.grad(visreg_terms(views, slices).shape, views)
    deviation = views.detach().std(dim=1, correction=0, keepdim=True) + 1e-4
    standardised = (views - views.mean(dim=1, keepdim=True)) / deviation
    (expected,) = torch.autograd.grad(sliced_wasserstein(standardised, slices), views)
    torch.testing.assert_close(found, expected)


def test_the_scale_term_pulls_at_nearly_collapsed_embeddings_and_is_finite_at_collapsed_ones():
    slices = slices_for(draw(1, 3))
    for size, gradient_is_large in ((1e-3, True), (0.0, False)):
        views = (size * draw(1, 8, 3)).requires_grad_()
        terms = visreg_terms(views, slices)
        (gradient,) = torch.autograd.grad(terms.scale, views)
        assert gradient.isfinite().all()
        assert (gradient.norm() > 0.1).item() is gradient_is_large
        assert terms.shape.isfinite()


# --------------------------------------------------------------------------- methods


@pytest.mark.parametrize("name", METHODS)
def test_each_step_has_directions_of_its_own(name, case_of):
    case = case_of(name)
    method, batch = case.build(), case.batch()
    losses = [method.training_step(batch, step).loss.item() for step in (0, 1, 0)]
    assert losses[0] == losses[2]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("view", [0, -1])
def test_global_and_local_views_keep_from_collapsing(name, view, case_of):
    """With all of the weight on the regularization, each view alone moves the loss."""
    case = case_of(name, regularization_weight=1.0)
    method, batch = case.build(), case.batch()
    loss = method.training_step(batch, 0).loss
    views = list(batch.views)
    views[view] = torch.zeros_like(views[view])
    changed = method.training_step(Batch(views, batch.indices), 0).loss
    assert abs(changed - loss) > 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_weights_are_those_of_the_options(name, case_of):
    parts = {}
    for weight in (0.0, 0.3, 1.0):
        case = case_of(name, regularization_weight=weight)
        result = case.build().training_step(case.batch(), 0)
        parts[weight] = result.loss.item()
    assert parts[0.0] == pytest.approx(result.metrics["train_loss/prediction"].item())
    assert parts[0.3] == pytest.approx(0.7 * parts[0.0] + 0.3 * parts[1.0], rel=1e-5)


def test_the_terms_of_visreg_are_weighted(case_of):
    weights = {"scale_weight": 2.0, "shape_weight": 3.0, "centre_weight": 5.0}
    case = case_of("visreg", regularization_weight=1.0, **weights)
    result = case.build().training_step(case.batch(), 0)
    found = {name: result.metrics[f"train_loss/{name}"] for name in ("scale", "shape", "centre")}
    expected = 2 * found["scale"] + 3 * found["shape"] + 5 * found["centre"]
    torch.testing.assert_close(result.loss.detach(), expected)


@pytest.mark.slow
def test_a_batch_of_eight_does_not_collapse(case_of):
    """With quantiles of a variance below 1, the shape term alone drew all images together."""
    case = case_of("visreg")
    method, batch = case.build(), case.batch()
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    scales = []
    for step in range(30):
        result = method.training_step(batch, step)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        scales.append(result.metrics["train_loss/scale"].item())
    assert scales[-1] < scales[0] / 2


@pytest.mark.parametrize("name", METHODS)
def test_a_process_may_have_one_image_where_the_batch_has_two(name, case_of):
    with pytest.raises(ConfigError, match="needs at least 2 images in a batch"):
        case_of(name, batch_size=1).build()
    case_of(name, batch_size=2).build(world_size=2)
