"""What users may do wrong, with every method; and half precision."""

import dataclasses

import pytest
import torch

from lightly_core.contracts import Batch
from lightly_core.errors import ConfigError
from lightly_core.testing import TinyTokens

ALL = ["simclr", "dcl", "dclw", "mocov2", "mocov3", "nnclr", "densecl"]


@pytest.mark.parametrize("name", ALL)
def test_a_batch_of_one_image_is_refused(make_case, name):
    options = {"queue_size": 5} if name in ("mocov2", "nnclr", "densecl") else {}
    with pytest.raises(ConfigError, match=f"'{name}' got batch_size=1 for 1 process"):
        make_case(name, batch_size=1, **options).build()


@pytest.mark.parametrize("name", ["simclr", "dcl", "dclw", "mocov3", "nnclr"])
def test_batch_norm_in_heads_needs_two_images_a_process(make_case, name):
    with pytest.raises(ConfigError, match="for 8 processes, expected at least 16"):
        make_case(name).build(world_size=8)


@pytest.mark.parametrize("name", ["mocov2", "densecl"])
def test_without_it_one_image_a_process_is_enough(make_case, name):
    assert make_case(name).build(world_size=8).num_groups == 1


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("num_views", [1, 3])
def test_two_views_are_needed(make_case, name, num_views):
    case = make_case(name)
    batch = case.batch()
    wrong = Batch([batch.views[0]] * num_views, batch.indices)
    with pytest.raises(ConfigError, match=f"'{name}' got {num_views} views of an image"):
        case.build().training_step(wrong, 0)


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
