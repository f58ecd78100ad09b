import math

import pytest
import torch

from lightly_core.contracts import Batch
from lightly_core.optim.build import build_optimizer
from lightly_core.parts.contrast import contrast_views
from lightly_methods.contrastive.simclr import SimCLR, nt_xent
from lightly_methods.contrastive.simclr_config import SimCLRConfig

SMALL = {"hidden_dim": 32, "output_dim": 16}


def layout(method):
    return [type(layer).__name__ for layer in method.projector]


def test_the_projector_has_batch_norm_after_every_layer(wrapper, context):
    method = SimCLR(SimCLRConfig(), wrapper, context)
    assert layout(method) == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    first, last = method.projector[0], method.projector[3]
    assert (first.in_features, first.out_features, last.out_features) == (16, 2048, 128)


def test_the_projector_without_batch_norm_has_three_layers_if_asked(wrapper, context):
    config = SimCLRConfig(num_layers=3, batch_norm=False, **SMALL)
    assert layout(SimCLR(config, wrapper, context)) == [
        "Linear", "ReLU", "Linear", "ReLU", "Linear",
    ]  # fmt: skip


def test_a_step_is_nt_xent_of_the_two_projected_views(wrapper, context, batch):
    method = SimCLR(SimCLRConfig(temperature=0.3, batch_norm=False, **SMALL), wrapper, context)
    method.eval()  # batch norm of the backbone then treats each image alone
    result = method.training_step(batch, step=0)
    first, second = (method.projector(wrapper(view)) for view in batch.views)
    expected = nt_xent(*contrast_views(first, second, 0.3))
    torch.testing.assert_close(result.loss, expected)


def test_the_loss_is_computed_by_nt_xent(wrapper, context, batch, monkeypatch):
    mine = torch.tensor(5.0)
    monkeypatch.setattr("lightly_methods.contrastive.simclr.nt_xent", lambda logits, pair: mine)
    assert SimCLR(SimCLRConfig(**SMALL), wrapper, context).training_step(batch, 0).loss is mine


@pytest.mark.parametrize(("changes", "rows"), [({}, [16]), ({"views_together": False}, [8, 8])])
def test_views_share_the_statistics_of_batch_norm_unless_told_otherwise(
    wrapper, context, batch, changes, rows
):
    method = SimCLR(SimCLRConfig(**SMALL, **changes), wrapper, context)
    calls = []
    method.projector[1].register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    result = method.training_step(batch, step=0)
    assert calls == rows
    images = [torch.cat(batch.views)] if len(rows) == 1 else batch.views
    projections = torch.cat([method.projector(wrapper(part)) for part in images])
    expected = nt_xent(*contrast_views(*projections.chunk(2), method.config.temperature))
    torch.testing.assert_close(result.loss, expected)


def test_top1_is_the_share_of_rows_that_find_their_pair(wrapper, context):
    method = SimCLR(SimCLRConfig(batch_norm=False, **SMALL), wrapper, context).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 16, 16, generator=generator)
    indices = torch.arange(8)
    right = Batch(views=[images, images], indices=indices)
    assert method.training_step(right, 0).metrics["contrast/top1"].item() == 1
    wrong = Batch(views=[images, images.roll(1, 0)], indices=indices)
    assert method.training_step(wrong, 0).metrics["contrast/top1"].item() == 0


def test_metrics_carry_no_gradient(wrapper, context, batch):
    result = SimCLR(SimCLRConfig(**SMALL), wrapper, context).training_step(batch, 0)
    assert list(result.metrics) == ["contrast/top1"]
    assert not result.metrics["contrast/top1"].requires_grad


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
def test_twenty_steps_on_one_batch_lower_the_loss(wrapper, context, batch, name):
    config = SimCLRConfig(**SMALL)
    method = SimCLR(config, wrapper, context)
    args = config.default_optimizer(name)
    optimizer = build_optimizer(
        method.parameter_groups(), name, args, peak_lr=args.lr, device=torch.device("cpu")
    )
    losses = []
    for step in range(20):
        optimizer.zero_grad()
        result = method.training_step(batch, step)
        result.loss.backward()
        optimizer.step()
        losses.append(result.loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_first_loss_is_near_the_chance_level(wrapper, context):
    # Views that have nothing to do with each other, compared at a mild temperature.
    generator = torch.Generator().manual_seed(1)
    views = list(torch.randn(2, 8, 3, 16, 16, generator=generator))
    method = SimCLR(SimCLRConfig(temperature=1.0), wrapper, context)
    loss = method.training_step(Batch(views=views, indices=torch.arange(8)), 0).loss.item()
    assert loss == pytest.approx(math.log(15), abs=0.3)


def test_every_trainable_parameter_is_in_exactly_one_group(wrapper, context):
    method = SimCLR(SimCLRConfig(**SMALL), wrapper, context)
    grouped = [id(p) for group in method.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters())


def test_every_trainable_parameter_gets_a_gradient(wrapper, context, batch):
    method = SimCLR(SimCLRConfig(**SMALL), wrapper, context)
    method.training_step(batch, 0).loss.backward()
    assert [name for name, p in method.named_parameters() if p.grad is None] == []


def test_a_step_reads_no_value_on_the_host(wrapper, context, batch):
    # Tensors on "meta" have no values, so reading one fails.
    method = SimCLR(SimCLRConfig(**SMALL), wrapper, context).to("meta")
    views = [view.to("meta") for view in batch.views]
    result = method.training_step(Batch(views=views, indices=batch.indices), 0)
    result.loss.backward()
    assert result.loss.shape == ()


def test_the_exported_network_is_the_backbone(wrapper, context):
    assert SimCLR(SimCLRConfig(**SMALL), wrapper, context).exported_wrapper() is wrapper
