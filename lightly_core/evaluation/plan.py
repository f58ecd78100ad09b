"""Chooses the labelled images of the online kNN: training images and queries. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lightly_core.config.options.callbacks import KnnArgs
from lightly_core.data.base import ImageSource
from lightly_core.data.labels import LabelledImages, open_labelled, same_classes
from lightly_core.errors import DataError
from lightly_core.evaluation.splitting import split

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Some labelled images of a source.

    Attributes:
        source: The images.
        indices: Positions in the source, (N,) int64, ascending.
        targets: Class of each image, (N,) int64, an index of `Plan.classes`.
    """

    source: ImageSource
    indices: Positions
    targets: Positions


@dataclass(frozen=True)
class Plan:
    """Two sets of labelled images.

    Attributes:
        train: Images among which neighbours are searched.
        query: Images that are classified.
        classes: Name of each class.
        notes: Remarks to be reported with the numbers, one sentence each.
    """

    train: Part
    query: Part
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def plan_images(
    source: ImageSource, args: KnnArgs, *, seed: int, val_source: ImageSource | None
) -> Plan | str:
    """Choose the images as a run does, or return why there is nothing to measure.

    Args:
        source: The training images, with labels or without.
        args: Number of images.
        seed: Seed of the choice of images.
        val_source: Other images, with labels, to be classified; None: a part of the training
            images is classified by the others.

    Raises:
        DataError: The labels of `val_source` cannot be used, see `plan_validation`.
    """
    if val_source is None:
        return plan_split(
            source, max_images=args.max_images, query_fraction=args.query_fraction, seed=seed
        )
    return plan_validation(
        source,
        val_source,
        max_images=args.max_images,
        query_fraction=args.query_fraction,
        seed=seed,
    )


def plan_split(
    source: ImageSource, *, max_images: int, query_fraction: float, seed: int
) -> Plan | str:
    """Split images into training images and queries, or return why that is impossible.

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
        return f"only one class: all images have the same label ({labels.origin})"
    if len(np.unique(labels.targets[parts.query])) < 2:
        return (
            f"too few labels: of {len(present)} classes, fewer than two have at least two images "
            f"({labels.origin})"
        )
    return Plan(
        train=Part(source, parts.train, labels.targets[parts.train]),
        query=Part(source, parts.query, labels.targets[parts.query]),
        classes=labels.classes,
        notes=_counts(
            {
                "classes skipped because they have one image": parts.num_single,
                "classes skipped to stay within max_images": parts.num_excess,
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
    """Use the images of `val_data` as queries and those of `data` as training images.

    Classes are matched by their names. If `data` has no labels, `val_data` is split instead.

    Args:
        source: The training images, with labels or without.
        val_source: Other images, with labels.
        max_images: Maximum number of images of each set; the same fraction of each class.
        query_fraction: As in `split`, used if `data` has no labels.
        seed: Seed of the choice of images.

    Raises:
        DataError: `val_source` has no labels, only one class, or a class that `source` lacks.
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
    """Sample the same fraction of the images of each class, at least one of each.

    Args:
        targets: Class of each image, (N,) int64.
        max_images: Maximum number of images. If it is less than the number of classes, images
            are sampled regardless of their class.
        seed: Seed of the choice.

    Returns:
        Positions, ascending; all of them if there are at most `max_images`.
    """
    if len(targets) <= max_images:
        return np.arange(len(targets))
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    order = shuffled[np.argsort(targets[shuffled], kind="stable")]
    _, starts, sizes = np.unique(targets[order], return_index=True, return_counts=True)
    if len(sizes) > max_images:
        return np.sort(shuffled[:max_images])
    # Integer arithmetic, so that the result is the same on every machine.
    quotas = 1 + (sizes - 1) * (max_images - len(sizes)) // (len(targets) - len(sizes))
    chosen = [order[start : start + quota] for start, quota in zip(starts, quotas, strict=True)]
    return np.sort(np.concatenate(chosen))


def _part(images: LabelledImages, max_images: int, seed: int) -> Part:
    chosen = images.part(sample(images.targets, max_images, seed))
    return Part(chosen.source, chosen.indices, chosen.targets)


def _counts(counts: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{what}: {count}" for what, count in counts.items() if count)
