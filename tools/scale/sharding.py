"""``strategy=fsdp2`` in two processes gives what ``strategy=ddp`` gives, for every method.

In float64 both may differ by rounding only. In float32 the rounding errors of a step grow in the
following ones, by a factor that depends on the method. There both are compared with float64.
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

#: Largest difference of weights and optimizer states after six steps in float64.
_MOST = 1e-9
#: How much larger the errors of float32 may be with sharded weights than with whole ones.
_MOST_TIMES = 3.0

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
    assert largest < _MOST, f"the largest difference is {largest:.1e}"
    return f"largest difference {largest:.1e}"


def _float32(folder: Path) -> str:
    """Compare the numbers of both strategies in float32 with those of ``ddp`` in float64."""
    images = make_images(folder / "images", 24)
    runs = (("exact", "ddp", "64-true"), ("ddp", "ddp", "32-true"), ("fsdp2", "fsdp2", "32-true"))
    for name, strategy, precision in runs:
        settings = {**_settings("simclr", precision=precision), "devices": 2, "strategy": strategy}
        shared_pair().run(_run_one, folder / name, images, settings)
    whole, sharded = (largest_difference(folder / "exact", folder / n) for n in ("ddp", "fsdp2"))
    errors = f"errors of float32: {sharded:.1e} with fsdp2, {whole:.1e} with ddp"
    assert 0 < sharded < _MOST_TIMES * whole, errors
    return errors


def _checks() -> Iterator[Check]:
    from small_methods import all_methods  # tests/helpers

    catalog = get_plugins().catalog
    for method in all_methods():
        config = load_config(catalog.get("method", method))
        if vars(config).get("shardable", False):
            yield Check(f"{method}, fsdp2 and ddp", partial(_same_as_ddp, method=method))
    for name, changes in _FORMS.items():
        yield Check(name, partial(_same_as_ddp, method="simclr", **changes))
    yield Check("float32", _float32)


#: Other settings of SimCLR, which change what is done with gradients and weights.
_FORMS: dict[str, dict[str, object]] = {
    "clipped gradients": {"trainer_args": {"gradient_clip_val": 0.1}},
    "LARS": {"optim": "lars"},
    "SGD": {"optim": "sgd"},
    "two batches a step": {"batch_size": 4, "gradient_accumulation_steps": 2},
    "batch norms in the backbone": {"model": "timm/test_resnet", "model_args": None},
}

CHECKS = tuple(_checks())
torch.set_num_threads(1)
