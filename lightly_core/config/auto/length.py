"""Resolves `epochs`: the given number, a first budget for few images, or the steps of a paper."""

from __future__ import annotations

import math

from attrs import define

from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.short_runs import FIRST_EPOCHS, LEAST_SEEN, SHORT_RUN_IMAGES
from lightly_core.errors import ConfigError

MAX_AUTO_EPOCHS = 10_000


@define(frozen=True, kw_only=True)
class Length:
    """The length of a run.

    Attributes:
        epochs: Passes over the images.
        steps: Optimizer steps, at most those of `trainer_args.max_steps`.
        reason: Reason of the decision, for the user.
        given: Whether the user gave the number of epochs.
    """

    epochs: int
    steps: int
    reason: str
    given: bool


def first_epochs(images: int, recipe: str) -> int | None:
    """Return the epochs of a first run on few images; None: the steps of the paper are taken.

    These are `FIRST_EPOCHS`, or more where these see fewer than `LEAST_SEEN` images. With
    ``recipe=auto`` this is for data sets that are so small that the run is short, and with
    ``recipe=small`` all runs are short.

    Args:
        images: Number of images, at least 1.
        recipe: The setting `recipe`.
    """
    if recipe == "paper":
        return None
    wanted = max(FIRST_EPOCHS, math.ceil(LEAST_SEEN / images))
    if wanted * images < SHORT_RUN_IMAGES:
        return wanted
    return max(1, (SHORT_RUN_IMAGES - 1) // images) if recipe == "small" else None


def choose_length(
    run: RunConfig, method: type[MethodConfig], name: str, images: int, steps_per_epoch: int
) -> Length:
    """Return epochs and optimizer steps of a run.

    Args:
        run: The user's settings.
        method: Option class of the method.
        name: Name of the method.
        images: Number of images, at least 1.
        steps_per_epoch: Optimizer steps of an epoch.

    Raises:
        ConfigError: `trainer_args.max_steps` is not a number of steps.
    """
    limit = step_limit(run)
    if run.epochs == "auto":
        epochs, reason = _auto(
            run.recipe, method.target_steps, name, images, steps_per_epoch, limit
        )
    else:
        epochs, reason = run.epochs, f"epochs={run.epochs}"
    steps = epochs * steps_per_epoch
    return Length(
        epochs=epochs,
        steps=steps if limit is None else min(steps, limit),
        reason=reason,
        given=run.epochs != "auto",
    )


def step_limit(run: RunConfig) -> int | None:
    """Return the most steps of a run by `trainer_args.max_steps`; None: there is no limit.

    Raises:
        ConfigError: It is not a number of steps.
    """
    limit = (run.trainer_args or {}).get("max_steps", -1)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < -1:
        raise ConfigError(
            "config.trainer_args.max_steps: expected an int, -1 for no limit, "
            f"got {limit!r} ({type(limit).__name__})"
        )
    return None if limit == -1 else limit


def _auto(
    recipe: str, target: int, name: str, images: int, steps_per_epoch: int, limit: int | None
) -> tuple[int, str]:
    """Return the epochs of ``epochs="auto"``, and why."""
    aim = f"{target:,} steps are the aim of {name}"
    if limit is not None and limit < target:
        target, aim = limit, "by trainer_args.max_steps"
    epochs = max(1, min(MAX_AUTO_EPOCHS, math.ceil(target / steps_per_epoch)))
    few = first_epochs(images, recipe) if limit is None else None
    if few is not None and few < epochs:
        return few, _first_reason(few, images, target)
    if epochs == MAX_AUTO_EPOCHS:
        return epochs, f"the most; {aim}"
    return epochs, f"the least; {aim}" if steps_per_epoch > target else aim


def _first_reason(epochs: int, images: int, target: int) -> str:
    return (
        f"{epochs * images:,} images seen, a first budget for {images:,} images; recipe=paper "
        f"takes the paper's {target:,} steps"
    )
