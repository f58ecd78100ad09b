"""The linear protocol of published results: features of new random crops in every epoch."""

from __future__ import annotations

import logging
import math
import time

import torch

from lightly_core.config.options.evaluate import LinearProtocol
from lightly_core.errors import RunError
from lightly_core.evaluation.augmented import LabelledBatches, crop_transform
from lightly_core.evaluation.backbone import Backbone
from lightly_core.evaluation.features import batch_features, frozen
from lightly_core.evaluation.linear_head import LinearHead, hold_out, score_head
from lightly_core.evaluation.linear_sgd import REFERENCE_BATCH, SgdHeads
from lightly_core.evaluation.measures import (
    FeatureSet,
    Measured,
    compute_features,
    learning_rates,
    linear_settings,
    linear_values,
    top5_notes,
)
from lightly_core.evaluation.task import Task
from lightly_core.progress import progress

log = logging.getLogger(__name__)

#: Fraction of the training images on which learning rates are compared.
_HELD_OUT = 0.1


def measure_augmented(
    protocol: LinearProtocol, backbone: Backbone, task: Task, val: FeatureSet | None, seed: int
) -> Measured:
    """Train linear classifiers on random resized crops and flips, the network in eval mode.

    All learning rates are trained on the same crops. If there are several, a tenth of the
    training images is held out, and the classifier with the best accuracy on it is used. Unlike
    with cached features, it is not trained again on all images.

    Args:
        protocol: Settings with ``augment``.
        backbone: The network; it is not changed.
        task: The images.
        val: Features of the images that are classified, if they are already computed.
        seed: Seed of the order, the crops and the held-out images.

    Raises:
        DataError: No image can be read.
        RunError: The classifier, or a feature, is nan or infinite.
    """
    started = time.perf_counter()
    rates = learning_rates(protocol)
    train, held = task.train, None
    if len(rates) > 1:
        kept, held_out = hold_out(torch.from_numpy(train.targets), _HELD_OUT, seed)
        if len(held_out):
            held = compute_features(backbone, train.part(held_out.numpy()), "data")
            train = train.part(kept.numpy())
    batches = LabelledBatches(
        train,
        crop_transform(backbone.transform, protocol.min_scale),
        batch_size=protocol.batch_size,
        epochs=protocol.epochs,
        num_workers=backbone.num_workers,
        seed=seed,
    )
    heads = _train(protocol, backbone, batches, task.num_classes)
    head = _best(heads, held)
    if not torch.isfinite(head.weight).all():
        raise RunError(
            f"linear: the classifier diverged at learning rate {head.lr:g}"
            "\n  set a smaller linear.lr"
        )
    val = compute_features(backbone, task.val, "val_data") if val is None else val
    head = LinearHead(
        head.weight.to(val.features.device),
        head.bias.to(val.features.device),
        lr=head.lr,
        held_out=head.held_out,
    )
    skipped = len(batches.skipped) + (held.skipped if held is not None else 0)
    return Measured(
        linear_settings(protocol),
        linear_values(head, val),
        time.perf_counter() - started,
        len(task.train) - skipped,
        len(val.labels),
        skipped,
        val.skipped,
        top5_notes(task.num_classes),
    )


def _train(
    protocol: LinearProtocol, backbone: Backbone, batches: LabelledBatches, num_classes: int
) -> list[LinearHead]:
    device = backbone.device
    heads = SgdHeads(
        backbone.wrapper.feature_dim(),
        num_classes,
        learning_rates(protocol),
        momentum=protocol.momentum,
        weight_decay=protocol.weight_decay,
        batch_norm=protocol.batch_norm,
        device=device,
    )
    total = protocol.epochs * len(batches)
    scale = batches.batch_size / REFERENCE_BATCH
    step = 0
    bar = progress("Training the classifier", total, unit="steps")
    with frozen(backbone.wrapper, device), bar as task:
        for epoch in range(protocol.epochs):
            for batch, labels in batches.epoch(epoch):
                features = batch_features(
                    backbone.wrapper,
                    batch,
                    batches.transform,
                    device,
                    precision=backbone.precision,
                    channels_last=backbone.channels_last,
                )
                decay = (1 + math.cos(math.pi * step / total)) / 2  # as in `fit_sgd`
                heads.step(features, labels.to(device), scale * decay)
                step += 1
                task.advance()
            log.info("linear: epoch %d of %d", epoch + 1, protocol.epochs)
    return heads.heads(torch.arange(num_classes, device=device), num_classes)


def _best(heads: list[LinearHead], held: FeatureSet | None) -> LinearHead:
    """Return the head with the best accuracy on the held-out images; of equal ones the first."""
    if held is None:
        return heads[len(heads) // 2]
    accuracies = {}
    for head in heads:
        moved = LinearHead(head.weight.to(held.labels.device), head.bias.to(held.labels.device))
        accuracies[head.lr or 0.0] = score_head(moved, held.features, held.labels).top1
    best = max(heads, key=lambda head: accuracies[head.lr or 0.0])
    return LinearHead(best.weight, best.bias, lr=best.lr, held_out=accuracies)
