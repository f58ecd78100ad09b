"""Resolves the options of callbacks: how often features are evaluated, and how metrics rank."""

from __future__ import annotations

import math

from attrs import define, evolve

from lightly_core.config.options.callbacks import CallbacksArgs, KnnArgs, ReportArgs, SignalsArgs

#: Cost of a view in training, in forward passes: one, and about two for the backward pass.
FORWARDS_PER_VIEW = 3
DEFAULT_SIGNAL_IMAGES = 512
_LEAST_SIGNAL_IMAGES = 64
DEFAULT_REPORT_IMAGES = 300
_LEAST_REPORT_IMAGES = 32

_LARGE_IS_BETTER = frozenset({"knn", "linear", "rank", "embedding"})
_ACCURACY_WORDS = ("top1", "top5", "accuracy", "agreement", "cosine")


@define(frozen=True, kw_only=True)
class Work:
    """Cost of training, in forward passes of one evaluation image.

    Attributes:
        epochs: Epochs that are trained.
        dataset_size: Number of images.
        forwards: Cost of the training steps of one process. Evaluation runs on one process while
            the others wait.
    """

    epochs: int
    dataset_size: int
    forwards: float

    @classmethod
    def of_run(
        cls,
        *,
        total_steps: int,
        steps_per_epoch: int,
        effective_batch_size: int,
        world_size: int,
        views: float,
        dataset_size: int,
    ) -> Work:
        """Compute the cost.

        Args:
            total_steps: Optimizer steps of the run.
            steps_per_epoch: Optimizer steps of an epoch.
            effective_batch_size: Images of a step, over all processes.
            world_size: Number of processes.
            views: Views per image, each counted by its pixels relative to an evaluation image.
            dataset_size: Number of images.
        """
        images = total_steps * effective_batch_size / world_size
        return cls(
            epochs=math.ceil(total_steps / steps_per_epoch),
            dataset_size=dataset_size,
            forwards=FORWARDS_PER_VIEW * views * images,
        )

    def epochs_between(self, images: int, budget: float) -> int:
        """Return the smallest number of epochs between evaluations that stays within the budget.

        Evaluations before training and after the last epoch always take place.

        Args:
            images: Images of one evaluation.
            budget: Fraction of the cost of training that all evaluations may cost.
        """
        affordable = int(budget * self.forwards / images) - 1  # without the one before training
        return max(1, math.ceil(self.epochs / max(1, affordable)))


def resolve_callbacks(callbacks: CallbacksArgs, work: Work, val_size: int | None) -> CallbacksArgs:
    """Replace every "auto" of the callbacks.

    The result does not depend on measured times, so a run repeats exactly and all processes agree.

    Args:
        callbacks: The user's options.
        work: Cost of training.
        val_size: Number of images of `val_data`; None: not given.
    """
    signals, knn, checkpoint = callbacks.signals, callbacks.knn, callbacks.model_checkpoint
    stopping, report = callbacks.early_stopping, callbacks.report
    if signals is not None:
        signals = _signals(signals, work)
    if knn is not None and knn.every_n_epochs == "auto":
        knn = evolve(knn, every_n_epochs=_knn_interval(knn, work, val_size))
    if checkpoint is not None and checkpoint.mode == "auto":
        large = checkpoint.monitor is not None and larger_is_better(checkpoint.monitor)
        checkpoint = evolve(checkpoint, mode="max" if large else "min")
    if report is not None and report.num_images == "auto":
        report = evolve(report, num_images=_report_images(report, work))
    if stopping is not None and stopping.mode == "auto":
        stopping = evolve(stopping, mode="max" if larger_is_better(stopping.monitor) else "min")
    return evolve(
        callbacks,
        signals=signals,
        knn=knn,
        model_checkpoint=checkpoint,
        early_stopping=stopping,
        report=report,
    )


def larger_is_better(metric: str) -> bool:
    """Return whether larger values of a metric are better: accuracies, agreements and ranks."""
    group, _, name = metric.rpartition("/")
    return group.partition("/")[0] in _LARGE_IS_BETTER or name.startswith(_ACCURACY_WORDS)


def _signals(signals: SignalsArgs, work: Work) -> SignalsArgs:
    if signals.num_images == "auto":
        affordable = int(signals.budget * work.forwards / 2)
        num_images = min(DEFAULT_SIGNAL_IMAGES, max(_LEAST_SIGNAL_IMAGES, affordable))
    else:
        num_images = int(signals.num_images)
    every = signals.every_n_epochs
    if every == "auto":
        every = work.epochs_between(min(num_images, work.dataset_size), signals.budget)
    return evolve(signals, num_images=num_images, every_n_epochs=every)


def _report_images(report: ReportArgs, work: Work) -> int:
    affordable = int(report.budget * work.forwards / 2)
    return min(DEFAULT_REPORT_IMAGES, max(_LEAST_REPORT_IMAGES, affordable))


def _knn_interval(knn: KnnArgs, work: Work, val_size: int | None) -> int | None:
    if val_size is None:
        return None
    images = min(knn.max_images, work.dataset_size) + min(knn.max_images, val_size)
    return work.epochs_between(images, knn.budget)
