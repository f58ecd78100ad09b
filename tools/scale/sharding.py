"""``strategy=fsdp2`` in two processes gives what ``strategy=ddp`` gives, for every method."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import lightly_core
from lightly_core.engine import fsdp2
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config
from lightly_core.testing import shared_pair
from tools.faults.runs import make_images, settings_of
from tools.scale.check import Check
from tools.scale.starting import largest_difference

#: Largest difference of weights and optimizer states after six steps.
_MOST = 2e-4


def _run_one(rank: int | None, out: Path, images: Path, changes: dict[str, Any]) -> None:
    """Run as one of two processes that exist already, or alone."""
    variables = {} if rank is None else {"LOCAL_RANK": str(rank)}
    with (
        mock.patch.dict(os.environ, variables),
        mock.patch.object(fsdp2, "LEAST_NUMBERS", 100),  # the blocks are small
    ):
        lightly_core.pretrain(**settings_of(out, images, **changes))


def _settings(method: str, **changes: object) -> dict[str, Any]:
    """Return settings of six steps of a method with a model that is known by name."""
    from small_methods import small_run  # tests/helpers

    values = {
        **small_run(method),
        "model": "timm/test_vit",  # without batch norms, whose statistics of few images amplify
        "model_args": {"img_size": 32, "patch_size": 8},
        "epochs": 2,
        "callbacks": {"signals": None},
    }
    return {**values, **changes}


def _same_as_ddp(folder: Path, method: str, **changes: object) -> str:
    images = make_images(folder / "images", 24)
    settings = {**_settings(method, **changes), "devices": 2}
    for strategy in ("ddp", "fsdp2"):
        chosen = {**settings, "strategy": strategy}
        shared_pair().run(_run_one, folder / strategy, images, chosen)
    return _compared(folder / "ddp", folder / "fsdp2")


def _compared(one: Path, other: Path) -> str:
    largest = largest_difference(one, other)
    assert largest < _MOST, f"the largest difference is {largest:.1e}"
    return f"largest difference {largest:.1e}"


def _checks() -> Iterator[Check]:
    from small_methods import all_methods  # tests/helpers

    catalog = get_plugins().catalog
    for method in all_methods():
        config = load_config(catalog.get("method", method))
        if vars(config).get("shardable", False):
            yield Check(f"{method}, fsdp2 and ddp", partial(_same_as_ddp, method=method))
    clip = {"trainer_args": {"gradient_clip_val": 0.1}}
    yield Check("simclr with clipped gradients", partial(_same_as_ddp, method="simclr", **clip))
    yield Check("simclr with LARS", partial(_same_as_ddp, method="simclr", optim="lars"))


CHECKS = tuple(_checks())
torch.set_num_threads(1)
