"""Options that several methods have. No torch here."""

from __future__ import annotations

from typing import Literal

from lightly_core.config.method import RunFacts
from lightly_core.config.optim import AdamWArgs, LARSArgs, SGDArgs
from lightly_core.errors import ConfigError


def fit_queue(wanted: int | Literal["auto"], facts: RunFacts, largest: int) -> int:
    """Return the number of rows of a queue.

    "auto" is the paper's number, at most half of the dataset, at least a batch. Were the queue as
    long as the dataset, every second image would meet itself in it, from the epoch before: a
    neighbour that teaches nothing, or a negative that is none. With half it is one in eight, with
    a tenth one in two hundred.

    Args:
        wanted: As the user set it.
        facts: Of the run.
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


def linear_sgd(lr: float, *, warmup_epochs: float = 10.0) -> SGDArgs:
    """Return SGD with the learning rate for batches of 256."""
    return SGDArgs(
        lr=lr,
        momentum=0.9,
        weight_decay=1e-4,
        lr_scale_method="linear",
        reference_batch_size=256,
        warmup_epochs=warmup_epochs,
    )


def linear_lars(lr: float) -> LARSArgs:
    """Return LARS with the learning rate for batches of 256; for batches from 1024 on."""
    return LARSArgs(
        lr=lr,
        momentum=0.9,
        weight_decay=1e-6,
        lr_scale_method="linear",
        reference_batch_size=256,
    )


def transformer_adamw() -> AdamWArgs:
    """Return AdamW for contrastive transformers.

    At batch 4096 the rate comes to 2e-3, near the 2.4e-3 that MoCo v3 found
    (https://arxiv.org/abs/2104.02057); the square root, which suits adaptive steps, keeps small
    batches from learning too slowly.
    """
    return AdamWArgs(
        lr=5e-4,
        weight_decay=0.05,
        lr_scale_method="sqrt",
        reference_batch_size=256,
    )
