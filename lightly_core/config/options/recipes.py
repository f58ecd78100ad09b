"""Default options of optimizers and queues that several methods use. No torch here."""

from __future__ import annotations

from typing import Literal

from lightly_core.config.options.method import RunFacts
from lightly_core.config.options.optim import AdamWArgs, LARSArgs, SGDArgs
from lightly_core.errors import ConfigError


def linear_sgd(lr: float, *, warmup_epochs: float = 10.0) -> SGDArgs:
    """Return SGD whose learning rate is `lr` at 256 images and proportional to the batch."""
    return SGDArgs(
        lr=lr,
        momentum=0.9,
        weight_decay=1e-4,
        lr_scale_method="linear",
        reference_batch_size=256,
        warmup_epochs=warmup_epochs,
    )


def linear_lars(lr: float, *, weight_decay: float = 1e-6) -> LARSArgs:
    """Return LARS whose learning rate is `lr` at 256 images and proportional to the batch.

    LARS is meant for batches of 1024 images and more.
    """
    return LARSArgs(
        lr=lr,
        momentum=0.9,
        weight_decay=weight_decay,
        lr_scale_method="linear",
        reference_batch_size=256,
    )


def paper_adamw(
    lr: float,
    batch_size: int,
    *,
    weight_decay: float,
    weight_decay_end: float | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    warmup_epochs: float,
    final_lr_fraction: float = 0.001,
) -> AdamWArgs:
    """Return AdamW with the learning rate of a paper at its batch size.

    At other batch sizes the rate is scaled with the square root, which suits adaptive steps. The
    linear rule would make it far too small at 64 images, as the papers use thousands.
    """
    return AdamWArgs(
        lr=lr,
        reference_batch_size=batch_size,
        lr_scale_method="sqrt",
        weight_decay=weight_decay,
        weight_decay_end=weight_decay_end,
        betas=betas,
        warmup_epochs=warmup_epochs,
        final_lr_fraction=final_lr_fraction,
    )


def transformer_adamw() -> AdamWArgs:
    """Return AdamW for transformers, for methods whose papers train none.

    At 4096 images the rate is 2e-3, near the 2.4e-3 of MoCo v3 (https://arxiv.org/abs/2104.02057).
    """
    return paper_adamw(5e-4, 256, weight_decay=0.05, warmup_epochs=10.0)


def fit_queue(wanted: int | Literal["auto"], facts: RunFacts, largest: int) -> int:
    """Return the number of rows of a queue.

    "auto" is the paper's number, at most half of the dataset, and at least a batch. In a queue as
    long as the dataset, half of the images would find themselves from the epoch before, as a
    trivial neighbour or a false negative. With half of the dataset this is one image in eight, with
    a tenth one in two hundred.

    Args:
        wanted: The user's setting.
        facts: Facts of the run.
        largest: Number of rows in the paper.

    Raises:
        ConfigError: `wanted` is not smaller than the number of images.
    """
    images = facts.dataset_size
    if wanted == "auto":
        fitting = max(facts.effective_batch_size, images // 2)
        return max(1, min(largest, fitting, images - 1))
    if wanted >= images:
        raise ConfigError(
            f"config.method_args.queue_size: got {wanted} for {images} images, expected fewer rows "
            "than images, since the queue would hold some images more than once"
            "\n  use queue_size=auto or a smaller number"
        )
    return wanted
