"""Which labelled images are classified while a run goes on, and by which others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lightly_core.data.base import ImageSource
from lightly_core.data.labels import LabelledImages, open_labelled, same_classes
from lightly_core.errors import DataError
from lightly_core.evaluation.knn import split

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Some labelled images of a source.

    Attributes:
        source: The images.
        indices: Positions in the source, (N,) int64, ascending.
        targets: Class of each, (N,) int64, numbered as `Plan.classes`.
    """

    source: ImageSource
    indices: Positions
    targets: Positions


@dataclass(frozen=True)
class Plan:
    """Two sides of labelled images.

    Attributes:
        train: Images that classify the others.
        query: Images that are classified.
        classes: Name of each class.
        notes: What a reader of the numbers should know, one sentence each.
    """

    train: Part
    query: Part
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def plan_split(
    source: ImageSource, *, max_images: int, query_fraction: float, seed: int
) -> Plan | str:
    """Classify a part of the images by the others; or say why that is impossible.

    Args:
        source: The images, with labels or without.
        max_images: As in `split`.
        query_fraction: As in `split`.
        seed: As in `split`.
    """
    labels = source.labels()
    if labels is None:
        return "no labels: the images are not in one folder for each class"
    parts = split(labels.targets, max_images=max_images, query_fraction=query_fraction, seed=seed)
    present = np.unique(labels.targets)
    if len(present) < 2:
        return f"no labels to tell apart: all images are of one class ({labels.origin})"
    if len(np.unique(labels.targets[parts.query])) < 2:
        return (
            f"too few labels: of {len(present)} classes, fewer than two have two images or more "
            f"({labels.origin})"
        )
    return Plan(
        train=Part(source, parts.train, labels.targets[parts.train]),
        query=Part(source, parts.query, labels.targets[parts.query]),
        classes=labels.classes,
        notes=_counts(
            {
                "classes left out because they have one image": parts.num_single,
                "classes left out to stay within max_images": parts.num_excess,
            }
        ),
    )


def plan_validation(
    source: ImageSource,
    val_source: ImageSource,
    *,
    max_images: int,
    query_fraction: float,
    seed: int,
) -> Plan:
    """Classify the images of `val_data` by those of `data`; classes are matched by their names.

    Where `data` has no labels, a part of `val_data` is classified by its others.

    Args:
        source: The training images, with labels or without.
        val_source: Other images, with labels.
        max_images: Images of each side at most, the same share of each class.
        query_fraction: As in `split`, where `data` has no labels.
        seed: Decides which images are taken.

    Raises:
        DataError: `val_source` has no labels that could be told apart, or a class that `source`
            lacks.
    """
    val = open_labelled(val_source, None, what="config.val_data")
    if source.labels() is None:
        plan = plan_split(
            val_source, max_images=max_images, query_fraction=query_fraction, seed=seed
        )
        if isinstance(plan, str):
            raise DataError(f"config.val_data: {plan}")
        note = "data has no labels: a part of val_data is classified by the rest of it"
        return replace(plan, notes=(note, *plan.notes))
    train, val, notes = same_classes(open_labelled(source, None, what="config.data"), val)
    return Plan(
        train=_part(train, max_images, seed),
        query=_part(val, max_images, seed),
        classes=train.classes,
        notes=notes,
    )


def sample(targets: Positions, max_images: int, seed: int) -> Positions:
    """Choose images, the same share of each class and at least one of each.

    Args:
        targets: Class of each image, (N,) int64.
        max_images: Images to choose at most; where that is less than the number of classes,
            images are chosen without looking at these.
        seed: Decides which.

    Returns:
        Positions, ascending; all of them where there are no more than `max_images`.
    """
    if len(targets) <= max_images:
        return np.arange(len(targets))
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    order = shuffled[np.argsort(targets[shuffled], kind="stable")]
    _, starts, sizes = np.unique(targets[order], return_index=True, return_counts=True)
    if len(sizes) > max_images:
        return np.sort(shuffled[:max_images])
    # In whole numbers, so that no rounding of a float can differ between machines.
    quotas = 1 + (sizes - 1) * (max_images - len(sizes)) // (len(targets) - len(sizes))
    chosen = [order[start : start + quota] for start, quota in zip(starts, quotas, strict=True)]
    return np.sort(np.concatenate(chosen))


def _part(images: LabelledImages, max_images: int, seed: int) -> Part:
    chosen = images.part(sample(images.targets, max_images, seed))
    return Part(chosen.source, chosen.indices, chosen.targets)


def _counts(counts: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{what}: {count}" for what, count in counts.items() if count)
