"""Resolves `recipe`: a method's published values, or those for short runs."""

from __future__ import annotations

from typing import Literal

from attrs import define, evolve

from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.short_runs import SHORT_RUN_IMAGES
from lightly_core.config.reading.load import Settings


@define(frozen=True, kw_only=True)
class RecipeChoice:
    """The recipe of a run.

    Attributes:
        name: Whose values are used: the paper's, or those for short runs.
        reason: Reason of the decision, for the user.
    """

    name: Literal["paper", "small"]
    reason: str


def choose_recipe(settings: Settings, images_seen: int) -> RecipeChoice:
    """Return the recipe of a run.

    Args:
        settings: The user's settings.
        images_seen: Number of images times epochs.
    """
    asked = settings.run.recipe
    if asked != "auto":
        return RecipeChoice(name=asked, reason=f"recipe={asked}")
    method = settings.run.method
    if settings.short is None:
        return RecipeChoice(name="paper", reason=f"{method} has no other values for these settings")
    seen = f"{images_seen:,} images are seen"
    if images_seen < SHORT_RUN_IMAGES:
        return RecipeChoice(name="small", reason=f"{seen}, fewer than {SHORT_RUN_IMAGES:,}")
    return RecipeChoice(name="paper", reason=f"{seen}, at least {SHORT_RUN_IMAGES:,}")


def with_recipe(settings: Settings, images_seen: int) -> tuple[Settings, RecipeChoice]:
    """Return settings with the values of the recipe of a run, and the recipe."""
    choice = choose_recipe(settings, images_seen)
    run: RunConfig = evolve(settings.run, recipe=choice.name)
    short = settings.short
    if choice.name == "paper" or short is None:  # recipe=small was applied when they were read
        return evolve(settings, run=run, short=None), choice
    chosen = evolve(
        settings,
        run=run,
        method=short.method,
        transform=short.transform,
        transform_record=short.transform_record,
        optimizer_name=short.optimizer_name,
        optimizer=short.optimizer,
        short=None,
    )
    return chosen, choice
