"""Sentences about what the advice rests on, and what it does not cover. No torch here."""

from __future__ import annotations

from collections.abc import Iterator

from lightly_core.advising.choice import MOST_IMAGES, MOST_SIDE, Choice
from lightly_core.advising.evidence import BATCH_SIZE, Row
from lightly_core.advising.sizes import Budget
from lightly_core.config.auto.recipe import RecipeChoice
from lightly_core.engine.plan.pace import about

_PAGE = "docs/choosing-a-method.md"
#: Factor from which a run is longer than a row.
_MORE = 1.5


def evidence_notes(
    choice: Choice,
    budget: Budget,
    *,
    method: str,
    given: bool,
    recipe: RecipeChoice,
    hours: float,
    images: int,
    batch_size: int,
    gpus: int,
) -> Iterator[str]:
    """Yield the sentences.

    Args:
        choice: What the evidence says.
        budget: Length of the run.
        method: Method of the run.
        given: Whether the user named it.
        recipe: Recipe of the run.
        hours: Time for the run.
        images: Number of images.
        batch_size: Images of a batch.
        gpus: GPUs of the machine.
    """
    if choice.row is None:
        yield _not_covered(choice)
        yield _basis(method, given, recipe)
    else:
        yield from _covered(choice, choice.row, budget, method)
    if choice.is_short and choice.row is not None:
        yield (
            f"{_hours(hours)} is too little for the row: it saw {choice.row.images_seen:,} images, "
            f"and this run sees {budget.images_seen:,}; give more time (hours) or a smaller model"
        )
    elif budget.epochs < budget.wanted:
        yield (
            f"{budget.epochs:,} epochs fit into {_hours(hours)}; {budget.wanted:,} would be taken "
            "without a limit of time"
        )
    if budget.seconds is not None and budget.seconds > 3600 * hours:
        yield f"one epoch takes {about(budget.seconds)}, longer than {_hours(hours)}"
    if budget.seconds is None:
        yield "the epochs do not follow hours, as the speed is not known; the first steps show it"
    if images >= BATCH_SIZE > batch_size:
        yield f"batches have {batch_size} images, as {BATCH_SIZE} do not fit into the GPU"
    if gpus > 1:
        yield f"the speed is that of one GPU, and the run takes all {gpus}, so it ends earlier"


def _covered(choice: Choice, row: Row, budget: Budget, method: str) -> Iterator[str]:
    better = [other for other in choice.rivals if other.knn > row.knn]
    if better:
        yield (
            f"{better[0].method} has {better[0].knn - row.knn:.1f} points more, within one "
            f"standard error ({better[0].error_to(row):.1f}); a step of {method} is cheaper"
        )
    if budget.images_seen >= _MORE * row.images_seen:
        yield (
            f"the run sees {budget.images_seen / row.images_seen:.2g} times as many images as that "
            "of the row, whose gain is therefore not a forecast"
        )
    if not method.startswith("distillation"):
        yield (
            "distillation is not among the rows, as its teacher has to be downloaded; take it if a "
            f"large pretrained network knows images like yours ({_PAGE})"
        )


def _not_covered(choice: Choice) -> str:
    if choice.nearest is None:
        return "no measured short run has this method, so the advice rests on none"
    return (
        "no measured short run is near enough: the same kind of network, a factor of "
        f"{MOST_IMAGES:g} in images and of {MOST_SIDE:g} in pixels at most, and a gain of two "
        "standard errors; so the advice rests on none"
    )


def _basis(method: str, given: bool, recipe: RecipeChoice) -> str:
    taken = "as you named it" if given else f"the default, see {_PAGE} for the others"
    values = "those of the paper" if recipe.name == "paper" else "those for short runs"
    return f"{method} is taken, {taken}; its values are {values} ({recipe.reason})"


def _hours(hours: float) -> str:
    return "an hour" if hours == 1 else f"{hours:g} hours"
