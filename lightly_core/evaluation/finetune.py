"""Fine-tuning: training of the whole network with labels."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from lightly_core.config.options.evaluate import FinetuneProtocol
from lightly_core.config.options.optim import AdamWArgs, OptimizerArgs, SGDArgs
from lightly_core.errors import ConfigError, RunError
from lightly_core.evaluation.augmented import LabelledBatches, crop_transform
from lightly_core.evaluation.backbone import Backbone
from lightly_core.evaluation.features import batch_features
from lightly_core.evaluation.linear_head import LinearHead, score_head
from lightly_core.evaluation.linear_sgd import REFERENCE_BATCH
from lightly_core.evaluation.measures import Measured, compute_features, top5_notes
from lightly_core.evaluation.task import Task
from lightly_core.models.probing import freeze_unused, probe, unfreeze
from lightly_core.optim.build import build_optimizer, build_scheduler
from lightly_core.optim.groups import ParameterGroup, default_parameter_groups, split_by_factor
from lightly_core.parts.layer_decay import layer_decay_factors
from lightly_core.parts.modes import set_modes
from lightly_core.progress import tracked

log = logging.getLogger(__name__)

_LR = {"sgd": 0.05, "adamw": 5e-4}
_WEIGHT_DECAY = {"sgd": 0.0, "adamw": 0.05}


def measure_finetuned(
    protocol: FinetuneProtocol, backbone: Backbone, task: Task, seed: int
) -> Measured:
    """Train a copy of the network with a linear head on random crops and flips, and test it.

    Parameters that the network has frozen stay frozen, and parts that it keeps in eval mode stay
    in eval mode. The network after the last epoch is tested, not the best one: a choice by the
    test images would bias the accuracy.

    Args:
        protocol: Settings of the training.
        backbone: The network; it is not changed.
        task: The images.
        seed: Seed of the order, the crops, the head and dropout.

    Raises:
        DataError: No test image can be read.
        RunError: The loss is nan or infinite.
    """
    started = time.perf_counter()
    protocol = resolved(protocol)
    tuned = trainable_copy(backbone)
    batches = LabelledBatches(
        task.train,
        crop_transform(backbone.transform, protocol.min_scale),
        batch_size=protocol.batch_size,
        epochs=protocol.epochs,
        num_workers=backbone.num_workers,
        seed=seed,
    )
    with _random_state(seed, backbone.device):
        head = nn.Linear(tuned.wrapper.feature_dim(), task.num_classes).to(backbone.device)
        losses = _train(protocol, tuned, head, batches)
    val = compute_features(tuned, task.val, "val_data")
    device = val.features.device
    trained = LinearHead(head.weight.detach().to(device), head.bias.detach().to(device))
    score = score_head(trained, val.features, val.labels)
    return Measured(
        attrs.asdict(protocol),
        {"top1": score.top1, "top5": score.top5, "train_loss": losses},
        time.perf_counter() - started,
        len(task.train) - len(batches.skipped),
        len(val.labels),
        len(batches.skipped),
        val.skipped,
        top5_notes(task.num_classes),
    )


def trainable_copy(backbone: Backbone) -> Backbone:
    """Copy a network, and unfreeze the parameters that were trainable and affect the features."""
    wrapper = copy.deepcopy(backbone.wrapper)
    unfreeze(wrapper, backbone.trainable)
    freeze_unused(wrapper, backbone.transform.num_channels, backbone.transform.size)
    return replace(backbone, wrapper=wrapper)


def resolved(protocol: FinetuneProtocol) -> FinetuneProtocol:
    """Fill in the defaults that depend on the optimizer."""
    lr, decay = protocol.lr, protocol.weight_decay
    return attrs.evolve(
        protocol,
        lr=_LR[protocol.optim] if lr is None else lr,
        weight_decay=_WEIGHT_DECAY[protocol.optim] if decay is None else decay,
    )


def parameter_groups(backbone: Backbone, head: nn.Module, decay: float) -> list[ParameterGroup]:
    """Split the trainable parameters by weight decay and, with a layer decay, by layer.

    Args:
        backbone: The network.
        head: The classifier, which counts as the last layer.
        decay: Factor on the learning rate per layer of distance from the head, in (0, 1].
    """
    wrapper = cast(nn.Module, backbone.wrapper)
    groups = default_parameter_groups(nn.ModuleList([wrapper, head]))
    if decay == 1:
        return groups

    def run() -> None:
        probe(backbone.wrapper, backbone.transform.num_channels, backbone.transform.size)

    try:
        by_name = layer_decay_factors(wrapper, decay, run=run)
    except ValueError as error:
        raise ConfigError(f"finetune.layer_decay={decay}: {error}") from error
    factors = {id(p): by_name[name] for name, p in wrapper.named_parameters()}
    return split_by_factor(groups, factors)


def _train(
    protocol: FinetuneProtocol, backbone: Backbone, head: nn.Linear, batches: LabelledBatches
) -> list[float]:
    """Train, and return the mean loss of each epoch in nats."""
    wrapper, device = backbone.wrapper, backbone.device
    cast(nn.Module, wrapper).train()
    set_modes(cast(nn.Module, wrapper), backbone.modes)
    optimizer = _optimizer(protocol, backbone, head, batches.batch_size)
    schedule = build_scheduler(
        optimizer,
        warmup_steps=round(protocol.warmup_epochs * len(batches)),
        total_steps=protocol.epochs * len(batches),
        final_fraction=0.0,
    )
    scaler = torch.amp.GradScaler(device.type, enabled=backbone.precision == torch.float16)
    losses = []
    for epoch in range(protocol.epochs):
        total, count = torch.zeros((), dtype=torch.float64, device=device), 0
        what = f"Fine-tuning, epoch {epoch + 1} of {protocol.epochs}"
        for batch, labels in tracked(batches.epoch(epoch), what, len(batches), unit="steps"):
            features = batch_features(
                wrapper,
                batch,
                batches.transform,
                device,
                precision=backbone.precision,
                channels_last=backbone.channels_last,
            )
            loss = F.cross_entropy(
                head(features), labels.to(device), label_smoothing=protocol.label_smoothing
            )
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            total += loss.detach() * len(labels)
            count += len(labels)
        losses.append(_mean(total, count, epoch))
        log.info("finetune: epoch %d of %d, loss %.4f", epoch + 1, protocol.epochs, losses[-1])
    return losses


def _mean(total: Tensor, count: int, epoch: int) -> float:
    loss = float(total) / max(count, 1)
    if not math.isfinite(loss):
        raise RunError(
            f"finetune: the loss is {loss} in epoch {epoch + 1}\n  set a smaller finetune.lr, "
            "finetune.warmup_epochs=5, or precision=32-true"
        )
    return loss


def _optimizer(
    protocol: FinetuneProtocol, backbone: Backbone, head: nn.Linear, batch_size: int
) -> Optimizer:
    lr, weight_decay = protocol.lr, protocol.weight_decay
    assert lr is not None  # see `resolved`
    assert weight_decay is not None
    args: OptimizerArgs = AdamWArgs(lr=lr, weight_decay=weight_decay)
    if protocol.optim == "sgd":
        args = SGDArgs(lr=lr, weight_decay=weight_decay, momentum=protocol.momentum)
    return build_optimizer(
        parameter_groups(backbone, head, protocol.layer_decay),
        protocol.optim,
        args,
        peak_lr=lr * batch_size / REFERENCE_BATCH,
        device=backbone.device,
    )


@contextmanager
def _random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch, and restore its random state afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
