"""Runs an evaluation: opens the network and the images, and measures all protocols."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch

from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.evaluation.backbone import Backbone, open_backbone
from lightly_core.evaluation.finetune import measure_finetuned
from lightly_core.evaluation.linear_augmented import measure_augmented
from lightly_core.evaluation.measures import (
    Measured,
    TaskFeatures,
    measure_knn,
    measure_linear,
    measure_retrieval,
    task_features,
)
from lightly_core.evaluation.request import output_path
from lightly_core.evaluation.results import EvaluationResult, write_results
from lightly_core.evaluation.task import Task, open_task
from lightly_core.plugins.catalog import Catalog
from lightly_core.version import __version__

log = logging.getLogger(__name__)


def evaluate_network(config: EvaluateConfig, catalog: Catalog) -> EvaluationResult:
    """Evaluate the features of a network.

    Args:
        config: Settings for which `evaluate_problems` is empty.
        catalog: Names of the installed plugins.

    Raises:
        ConfigError: The network cannot be opened.
        DataError: Images or labels cannot be used.
        RunError: Features or a loss are nan or infinite.
    """
    backbone = open_backbone(config, catalog)
    task = open_task(config, backbone.open_source)
    log.info(
        "%s: %d images to learn from, %d to classify, %d classes",
        backbone.name,
        len(task.train),
        len(task.val),
        task.num_classes,
    )
    facts = _facts(config, backbone, task)
    results = []
    for protocol, measured in _measure(config, backbone, task):
        results.append(_result(config, protocol, measured, facts, task.notes))
    out = None if config.out is None else output_path(config.out)
    if out is not None:
        write_results(results, out)
    return EvaluationResult(tuple(results), out)


def _measure(
    config: EvaluateConfig, backbone: Backbone, task: Task
) -> Iterator[tuple[str, Measured]]:
    """Run the protocols; those on cached features share them."""
    features: TaskFeatures | None = None
    linear = config.linear
    on_features = (config.knn, config.retrieval, linear if linear and not linear.augment else None)
    if any(protocol is not None for protocol in on_features):
        features = task_features(backbone, task)
        log.info("features computed in %.1f s", features.seconds)
    if config.knn is not None and features is not None:
        for measured in measure_knn(config.knn, features, config.seed):
            yield "knn", measured
    if linear is not None and linear.augment:
        val = None if features is None else features.val
        yield "linear", measure_augmented(linear, backbone, task, val, config.seed)
    elif linear is not None and features is not None:
        yield "linear", measure_linear(linear, features, config.seed)
    if config.retrieval is not None and features is not None:
        yield "retrieval", measure_retrieval(config.retrieval, features, config.seed)
    if config.finetune is not None:
        yield "finetune", measure_finetuned(config.finetune, backbone, task, config.seed)


def _facts(config: EvaluateConfig, backbone: Backbone, task: Task) -> dict[str, Any]:
    """Return the facts about network, images and machine that all results contain."""
    device = str(backbone.device)
    if backbone.device.type == "cuda":
        device = f"{device} ({torch.cuda.get_device_name(backbone.device)})"
    return {
        "model": backbone.facts(),
        "data": task.facts(),
        "seed": config.seed,
        "versions": {"lightly_core": __version__, "torch": str(torch.__version__)},
        "device": device,
    }


def _result(
    config: EvaluateConfig,
    protocol: str,
    measured: Measured,
    facts: dict[str, Any],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    skipped = measured.skipped_train + measured.skipped_val
    if skipped:
        notes = (*notes, f"{skipped} images cannot be read and are skipped")
    counts = {
        name: getattr(measured, name)
        for name in ("num_train", "num_val", "skipped_train", "skipped_val")
    }
    return {
        "protocol": protocol,
        "protocol_version": getattr(config, protocol).version,
        "settings": dict(measured.settings),
        **measured.values,
        "notes": [*notes, *measured.notes],
        "seconds": round(measured.seconds, 3),
        **facts,
        "data": {**counts, **facts["data"]},
    }
