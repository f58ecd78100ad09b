"""Training steps of the family: views, options, memory, what is exported."""

import pytest
import torch
from torch import nn

from lightly_core.contracts import Batch
from lightly_core.errors import ConfigError
from lightly_core.testing.models import TinyConv
from lightly_methods.decorrelation.tico import batch_moment

TWO_VIEWS = ["barlowtwins", "vicreg", "tico"]
MORE_VIEWS = ["wmse", "intl", "frossl", "mmcr", "emp-ssl"]
WITH_TEACHER = ["tico", "mmcr"]
ALL = TWO_VIEWS + MORE_VIEWS


@pytest.fixture
def make(make_case):
    """Return a method with a tiny convolutional network."""

    def do(name, **changes):
        return make_case(name, wrapper=TinyConv, **changes)

    return do


def with_views(batch, views):
    return Batch(views, batch.indices)


@pytest.mark.parametrize("name", MORE_VIEWS)
def test_local_views_count_like_the_others(make, name):
    case = make(name)
    method, batch = case.build(), case.batch()
    small = batch.views[0][:, :, ::2, ::2]
    loss = method.training_step(with_views(batch, [*batch.views, small]), 0).loss
    assert loss.isfinite()
    assert loss != method.training_step(batch, 0).loss


@pytest.mark.parametrize("name", ALL)
def test_views_must_stay_with_their_image(make, name):
    """If all views are turned around alike, nothing changes."""
    case = make(name, **({"whitening_size": 8} if name == "wmse" else {}))
    method, batch = case.build().double(), case.batch()
    batch = with_views(batch, [view.double() for view in batch.views])
    loss = method.training_step(batch, 0).loss
    turned = with_views(batch, [view.flip(0) for view in batch.views])
    torch.testing.assert_close(method.training_step(turned, 0).loss, loss)
    wrong = with_views(batch, [batch.views[0].roll(1, 0), *batch.views[1:]])
    assert method.training_step(wrong, 0).loss > loss + 1e-6


@pytest.mark.parametrize("name", ALL)
def test_all_that_is_trained_gets_a_gradient(make, name):
    case = make(name)
    method = case.build()
    method.training_step(case.batch(), 0).loss.backward()
    for parameter_name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name


@pytest.mark.parametrize("name", ALL)
def test_terms_and_weights_make_the_loss(make, name):
    weights = {
        "barlowtwins": ({"off_diagonal_weight": 0.5}, {"diagonal": 1, "off_diagonal": 0.5}),
        "vicreg": (
            {"invariance_weight": 2.0, "variance_weight": 3.0, "covariance_weight": 4.0},
            {"invariance": 2, "variance": 3, "covariance": 4},
        ),
        "tico": ({"contrast_weight": 3.0}, {"invariance": 1, "contrast": 3}),
        "wmse": ({}, None),
        "intl": ({"trace_weight": 0.5}, {"distance": 1, "trace": 0.5}),
        "frossl": ({"invariance_weight": 0.5}, {"spectrum": 1, "invariance": 0.5}),
        "mmcr": ({"compression_weight": 0.5}, {"extent": -1, "manifold": 0.5}),
        "emp-ssl": ({"invariance_weight": 30.0}, {"distance": 30, "coding_rate": -1}),
    }
    options, factors = weights[name]
    case = make(name, **options)
    result = case.build().training_step(case.batch(), 0)
    if factors is None:
        assert not result.metrics
        return
    total = sum(f * result.metrics[f"train_loss/{term}"] for term, f in factors.items())
    torch.testing.assert_close(result.loss.detach(), total)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        *((name, [8] * 3) for name in ["vicregl", "wmse", "intl", "frossl", "mmcr"]),
        *((name, [8] * 2) for name in ["barlowtwins", "vicreg"]),
        ("tico", [8]),  # the second view is the teacher's
        ("emp-ssl", [16, 8]),  # one pass for each size
        *((name, [24]) for name in ["lejepa", "visreg"]),
    ],
)
def test_batch_norms_see_views_alone_or_together(make, name, rows):
    case = make(name)
    method, batch = case.build(), case.batch()
    more = [] if name in TWO_VIEWS else [batch.views[0][:, :, ::2, ::2]]
    batch.views = [*batch.views[:2], *more]
    batch.crops = [*batch.crops, *batch.crops[:1]]
    seen = []
    norm = next(layer for layer in method.projector.modules() if isinstance(layer, nn.BatchNorm1d))
    norm.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    method.training_step(batch, 0)
    assert seen == rows


def test_barlow_twins_gives_biases_and_norms_a_rate_of_their_own(make):
    groups = make("barlowtwins").build().parameter_groups()
    assert {g.name: g.lr_scale for g in groups} == {"decayed": 1.0, "not_decayed": 0.024}
    groups = make("barlowtwins", bias_lr_factor=1.0).build().parameter_groups()
    assert {g.lr_scale for g in groups} == {1.0}


@pytest.mark.parametrize("name", WITH_TEACHER)
def test_the_student_is_exported_unless_told_otherwise(make, name):
    method = make(name).build()
    assert method.exported_wrapper() is method.model
    method = make(name, export="teacher").build()
    assert method.exported_wrapper() is method.teacher["backbone"]


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_tico_remembers_past_steps(make, momentum):
    case = make("tico", memory_momentum=momentum)
    method, batch = case.build(), case.batch()
    expected = torch.zeros_like(method.moment)
    for step in range(3):
        view = batch.views[0] + step
        with torch.no_grad():
            moment = batch_moment(method.projector(method.pool(view)))
        method.training_step(with_views(batch, [view, batch.views[1]]), step)
        torch.testing.assert_close(method.moment, expected)  # written after the step
        method.after_step(step + 1)
        expected = momentum * expected + (1 - momentum) * moment
        torch.testing.assert_close(method.moment, expected)
    assert "moment" in method.state_dict()


def test_tico_counts_several_batches_of_a_step_as_one(make):
    case = make("tico")
    method, batch = case.build(), case.batch()
    total = torch.zeros_like(method.moment)
    for view in batch.views:
        with torch.no_grad():
            total += batch_moment(method.projector(method.pool(view)))
        method.training_step(with_views(batch, [view, view]), 0)
    method.after_step(1)
    torch.testing.assert_close(method.moment, 0.1 * total / 2)


@pytest.mark.parametrize(
    ("batch_size", "output_dim", "size"), [(8, 2, 4), (8, 4, 8), (8, 3, 8), (12, 2, 4), (12, 3, 6)]
)
def test_wmse_takes_the_smallest_part_with_twice_the_dimension(make, batch_size, output_dim, size):
    method = make("wmse", batch_size=batch_size, output_dim=output_dim).build()
    assert method.size == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_dim": 5}, r"batch_size=8 and output_dim=5, .*batch_size=10, .*output_dim=4 or"),
        ({"output_dim": 4, "whitening_size": 4}, r"whitening_size=4 and output_dim=4, .*=8, or"),
        ({"output_dim": 2, "whitening_size": 5}, r"whole number of sub-batches; set batch_size=10"),
    ],
)
def test_wmse_says_what_does_not_fit(make, options, message):
    with pytest.raises(ConfigError, match=message):
        make("wmse", **options).build()


@pytest.mark.parametrize(
    ("whitening", "batch_size", "output_dim", "weight"),
    [("images", 16, 64, 0.01), ("channels", 16, 64, 0.03), ("images", 4, 64, 0.0)],
)
def test_intl_weighs_the_trace_as_the_paper_does(make, whitening, batch_size, output_dim, weight):
    options = {"whitening": whitening, "output_dim": output_dim, "trace_weight": None}
    method = make("intl", batch_size=batch_size, **options).build()
    assert method.trace_weight == pytest.approx(weight)


def test_intl_needs_two_channels(make):
    with pytest.raises(ConfigError, match="'output_dim' must be >= 2, got 1"):
        make("intl", output_dim=1).build()


@pytest.mark.parametrize("name", ALL)
def test_the_table_of_methods_knows_it(make, name):
    card = make(name).config_class.card
    assert card is not None
    assert card.arxiv
    assert (card.teacher == "average") == (name in WITH_TEACHER)
