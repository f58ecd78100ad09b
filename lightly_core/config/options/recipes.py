"""Values of optimizers and queues that several methods share. No torch here."""

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
    """Return AdamW with the learning rate that a paper has at its batch size.

    At other batch sizes the rate follows the square root, which suits adaptive steps. The linear
    rule would make it far too small between the papers' thousands of images and 64.
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
    """Return AdamW for transformers, for methods whose papers have none.

    At 4096 images the rate is 2e-3, near the 2.4e-3 of MoCo v3 (https://arxiv.org/abs/2104.02057).
    """
    return paper_adamw(5e-4, 256, weight_decay=0.05, warmup_epochs=10.0)


def fit_queue(wanted: int | Literal["auto"], facts: RunFacts, largest: int) -> int:
    """Return the number of rows of a queue.

    "auto" is the paper's number, at most half of the dataset, and at least a batch. In a queue as
    long as the dataset, every second image would find itself from the epoch before: a neighbour
    that teaches nothing, or a false negative. With half of it this is one image in eight, with a
    tenth one in two hundred.

    Args:
        wanted: As the user set it.
        facts: Facts of the run.
        largest: The paper's number.

    Raises:
        ConfigError: As many rows are wanted as there are images, or more.
    """
    images = facts.dataset_size
    if wanted == "auto":
        fitting = max(facts.effective_batch_size, images // 2)
        return max(1, min(largest, fitting, images - 1))
    if wanted >= images:
        raise ConfigError(
            f"config.method_args.queue_size: {wanted} is too large for {images} images, "
            "expected fewer rows than images: it would hold some images more than once"
            "\n  use queue_size=auto, or a smaller one"
        )
    return wanted
