"""What users may do wrong, with every method; and half precision."""

import dataclasses

import pytest
import torch

from lightly_core.errors import ConfigError
from lightly_core.testing import TinyTokens

ALL = ["simclr", "dcl", "dclw", "mocov2", "mocov3", "nnclr", "densecl"]


@pytest.mark.parametrize("name", ["simclr", "dcl", "dclw"])
def test_two_images_a_process_are_needed_for_batch_norm_only(make_case, name):
    with pytest.raises(ConfigError, match="at least 16 images in a batch with 8 processes, got 8"):
        make_case(name, batch_norm=True).build(world_size=8)
    make_case(name, batch_norm=False).build(world_size=8)


@pytest.mark.parametrize("name", ["mocov2", "densecl"])
def test_with_one_image_a_process_keys_are_not_grouped(make_case, name):
    assert make_case(name).build(world_size=8).num_groups == 1


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_half_precision_gives_nearly_the_same_loss(make_case, name, how):
    case = make_case(name, wrapper=TinyTokens, temperature=0.5)
    method, batch = case.build(), case.batch()
    expected = method.training_step(batch, 0).loss.item()
    method = case.build()
    if how == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = method.training_step(batch, 0).loss
    else:
        views = [view.bfloat16() for view in batch.views]
        half = dataclasses.replace(batch, views=views)
        loss = method.bfloat16().training_step(half, 0).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=0.05)
    loss.backward()
    with torch.no_grad():
        method.after_step(1)
