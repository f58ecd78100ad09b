"""``strategy=fsdp2`` in two processes gives what ``strategy=ddp`` gives, for every method.

In float64 both may differ by rounding only. In float32 the rounding errors of a step grow in the
following ones, by a factor that depends on the method, so that a limit for them shows little.
"""

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

#: Largest difference of weights and optimizer states after six steps, by the precision.
_MOST = {"64-true": 1e-9, "32-true": 2e-4}

#: Options with numbers of stored rows, which must be fewer than the images.
_STORED = {"queue_size", "bank_size"}


def _run_one(rank: int, out: Path, images: Path, changes: dict[str, Any]) -> None:
    """Run as one of two processes that exist already."""
    with (
        mock.patch.dict(os.environ, {"LOCAL_RANK": str(rank)}),
        mock.patch.object(fsdp2, "LEAST_NUMBERS", 100),  # the blocks are small
    ):
        lightly_core.pretrain(**settings_of(out, images, **changes))


def _settings(method: str, **changes: object) -> dict[str, Any]:
    """Return settings of six steps of a method with a model that is known by name."""
    from small_methods import small_run  # tests/helpers

    small = small_run(method)
    for name in _STORED & small["method_args"].keys():
        small["method_args"][name] = min(small["method_args"][name], 16)
    values = {
        **small,
        "model": "timm/test_vit",
        "model_args": {"img_size": 32, "patch_size": 8},
        "epochs": 2,
        "callbacks": {"signals": None},
        "precision": "64-true",
    }
    return {**values, **changes}


def _same_as_ddp(folder: Path, method: str, **changes: object) -> str:
    images = make_images(folder / "images", 24)
    settings = {**_settings(method, **changes), "devices": 2}
    for strategy in ("ddp", "fsdp2"):
        chosen = {**settings, "strategy": strategy}
        shared_pair().run(_run_one, folder / strategy, images, chosen)
    largest = largest_difference(folder / "ddp", folder / "fsdp2")
    assert largest < _MOST[settings["precision"]], f"the largest difference is {largest:.1e}"
    return f"largest difference {largest:.1e}"


def _checks() -> Iterator[Check]:
    from small_methods import all_methods  # tests/helpers

    catalog = get_plugins().catalog
    for method in all_methods():
        config = load_config(catalog.get("method", method))
        if vars(config).get("shardable", False):
            yield Check(f"{method}, fsdp2 and ddp", partial(_same_as_ddp, method=method))
    for name, changes in _FORMS.items():
        yield Check(name, partial(_same_as_ddp, method="simclr", **changes))


#: Other settings of SimCLR, which change what is done with gradients and weights.
_FORMS: dict[str, dict[str, object]] = {
    "clipped gradients": {"trainer_args": {"gradient_clip_val": 0.1}},
    "LARS": {"optim": "lars"},
    "SGD": {"optim": "sgd"},
    "two batches a step": {"batch_size": 4, "gradient_accumulation_steps": 2},
    "batch norms in the backbone": {"model": "timm/test_resnet", "model_args": None},
    "float32": {"precision": "32-true"},
}

CHECKS = tuple(_checks())
torch.set_num_threads(1)
