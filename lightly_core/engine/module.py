"""The LightningModule that trains a method."""

from __future__ import annotations

import functools
import json
import logging
import random
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader

from lightly_core.config.auto.resolve import Resolved
from lightly_core.contracts import Batch, Method, ModelWrapper, Transform
from lightly_core.contracts.data import InMemoryTransform
from lightly_core.data.dataset import RawBatch, build_loader
from lightly_core.data.memory import ImageMemory, keep_images, place_images
from lightly_core.data.memory_loader import MemoryLoader
from lightly_core.data.sources import ImageSource
from lightly_core.data.timing import time_batches
from lightly_core.engine.allocation import keep_freed_memory, return_freed_memory
from lightly_core.engine.compiling import CompiledBackbones
from lightly_core.engine.finite import FiniteWatch
from lightly_core.engine.metrics import MetricBuffer, mean_state
from lightly_core.optim.build import (
    build_optimizer,
    build_scheduler,
    can_be_fused,
    set_weight_decay,
)
from lightly_core.optim.groups import with_decay
from lightly_core.parts.modes import modes_of, set_modes

logger = logging.getLogger(__name__)


class TrainingModule(lightning.LightningModule):
    """Trains a method.

    Args:
        method: The method to train.
        transform: Creates the views.
        source: The images.
        resolved: Settings without "auto".
        metadata: Strings that describe model and data; stored in every checkpoint.
    """

    def __init__(
        self,
        method: Method[Any],
        transform: Transform,
        source: ImageSource,
        resolved: Resolved,
        metadata: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.method = method
        self.transform = transform
        self.source = source
        self.resolved = resolved
        self.metadata = dict(metadata)
        self.buffer = MetricBuffer()
        #: Batches of the current epoch that are done. A resumed run starts after them.
        self.batches_done = 0
        #: Fingerprint of the images, see `lightly_core.data.fingerprint.contents`.
        self.images: dict[str, str] = {}
        self._start_epoch = 0
        self._skip_batches = 0
        self._steps_seen = 0
        self._batch_number = 0
        self._step_skipped = False
        #: Checks losses and gradients; None before training, or if it is switched off.
        self.finite: FiniteWatch | None = None
        #: The backbones with compiled forward passes; None: they are not compiled.
        self.compiled: CompiledBackbones | None = None
        #: A copy of the exported wrapper whose weights are not sharded, on the first process; None:
        #: weights are not sharded.
        self.replica: ModelWrapper | None = None
        self._modes = modes_of(method)
        self.channels_last = resolved.run.accelerator != "mps"
        if self.channels_last:
            # Must precede DDP: gradients keep the layout that the weights have when DDP creates its
            # buckets, and a fused optimizer would pair them wrongly with another layout.
            method.to(memory_format=torch.channels_last)

    # ------------------------------------------------------------------ data

    def start_at(self, epoch: int, batches: int) -> None:
        """Make the next loader begin inside an epoch, for a resumed run."""
        self._start_epoch, self._skip_batches = epoch, batches
        self.batches_done = batches

    def train_dataloader(self) -> DataLoader[Any] | MemoryLoader:
        """Build the loader; called by Lightning once process groups exist."""
        # With seed=None every process has a random seed of its own.
        seed = self.trainer.strategy.broadcast(int(self.resolved.run.seed or 0), src=0)
        loader = self.make_loader(
            seed, self.trainer.global_rank, pin_memory=self.device.type == "cuda"
        )
        self._sampler = loader.batch_sampler
        self._sampler.set_epoch(self._start_epoch)  # type: ignore[union-attr]
        self._sampler.skip_batches(self._skip_batches)  # type: ignore[union-attr]
        return loader

    def make_loader(
        self, seed: int, rank: int, *, pin_memory: bool = False, here: bool = False
    ) -> DataLoader[Any] | MemoryLoader:
        """Build the loader of one process; the first call reads images that are kept in memory.

        Args:
            seed: Seed of order and samples.
            rank: Number of the process.
            pin_memory: Whether batches are put in pinned memory.
            here: Whether images are loaded in this process, without `loader_args`.

        Raises:
            ConfigError: `loader_args` are wrong, or ``in_memory=true`` is impossible.
        """
        run = self.resolved.run
        loader = build_loader(
            self.source,
            self.transform,
            seed=seed,
            per_device_batch_size=self.resolved.per_device_batch_size,
            rank=rank,
            world_size=self.resolved.world_size,
            num_workers=0 if here else int(run.num_workers),
            pin_memory=pin_memory,
            loader_args={} if here else run.loader_args or {},
            view_period=self.resolved.method.view_period(),
            make_extras=self.method.sample_extras(),
            end_epoch=int(run.epochs),
        )
        if run.profile:
            time_batches(loader)
        if not isinstance(self.transform, InMemoryTransform) or self._memory is None:
            return loader
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        self._memory = place_images(self._memory, device)
        return MemoryLoader(self._memory, self.transform, loader, device)

    @functools.cached_property
    def _memory(self) -> ImageMemory | None:
        """All images; None if they are not kept in memory."""
        run = self.resolved.run
        if self.resolved.total_steps == 0:
            return None
        memory = keep_images(
            self.source, self.resolved.transform.source_channels, self.resolved.memory
        )
        if memory is not None and run.loader_args:
            names = ", ".join(f"loader_args.{name}" for name in run.loader_args)
            logger.warning(
                "%s: no effect, as images are kept in memory and need no torch DataLoader; "
                "set in_memory=false to use it",
                names,
            )
        return memory

    def make_batch(self, epoch: int, batch_index: int, rank: int) -> Batch:
        """Create a batch of the run again, with the same images and views, in this process."""
        seed = int(self.resolved.run.seed or 0)
        loader = self.make_loader(seed, rank, here=True)
        sampler = loader.batch_sampler
        sampler.set_epoch(epoch)  # type: ignore[union-attr]
        sampler.skip_batches(batch_index)  # type: ignore[union-attr]
        raw = next(iter(loader))
        return self.on_after_batch_transfer(raw.to(self.device), 0)

    def on_train_epoch_start(self) -> None:
        """Set the sampler's epoch, except where a run resumes inside one."""
        if self.current_epoch != self._start_epoch or not self._skip_batches:
            self._sampler.set_epoch(self.current_epoch)  # type: ignore[union-attr]
            self.batches_done = 0

    def transfer_batch_to_device(
        self, batch: RawBatch, device: torch.device, dataloader_idx: int
    ) -> RawBatch:
        """Move the pixels; the parameters of the augmentation stay on the CPU."""
        return batch.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: RawBatch, dataloader_idx: int) -> Batch:
        """Run the device's stage of the augmentation."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            views = self.transform.views(batch.pixels, batch.parameters)
        # Weights are float32 except with precisions that end in "-true".
        dtype = next(p.dtype for p in self.method.parameters() if p.is_floating_point())
        views = [view.to(dtype) for view in views]
        if self.channels_last:
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        self.skipped, self.notes, self.batch_times = batch.skipped, batch.notes, batch.times
        return Batch(
            views,
            batch.indices,
            batch.extras,
            batch.view_ids,
            batch.crops,
            num_global=self.resolved.transform.num_views,
        )

    # ------------------------------------------------------------------ training

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and schedule from the resolved settings."""
        optimizer = build_optimizer(
            with_decay(
                self.method.parameter_groups(), self.method, self.resolved.optimizer.decayed
            ),
            self.resolved.optimizer_name,
            self.resolved.optimizer,
            peak_lr=self.resolved.peak_lr,
            device=self.device,
            fused=bool(self.fused(sharded=self.resolved.run.strategy == "fsdp2")),
        )
        scheduler = build_scheduler(
            optimizer,
            warmup_steps=self.resolved.warmup_steps,
            total_steps=self.resolved.total_steps,
            final_fraction=self.resolved.optimizer.final_lr_fraction,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def fused(self, *, sharded: bool) -> bool | None:
        """Return True if the optimizer is one kernel for the whole step; None: torch chooses.

        Lightning unscales gradients between backward and step, and clips them there under mixed
        precision. It refuses both if the optimizer unscales the gradients itself. Kernels for
        shards do not take the tensor that cancels a step.

        Args:
            sharded: Whether the weights are sharded.
        """
        clipped = bool(self.resolved.gradient_clip_val)
        precision = str(self.resolved.run.precision)
        refused = precision.startswith("16") or (clipped and precision.endswith("mixed"))
        possible = can_be_fused(self.method.parameters(), self.device, self.resolved.optimizer_name)
        return True if possible and not (refused or sharded) else None

    def on_fit_start(self) -> None:
        """Set every module to the mode that it had when the method was built.

        `train()` would also change the parts that the user put in evaluation mode.
        """
        set_modes(self.method, self._modes)

    def on_train_start(self) -> None:
        """Start counting at the step of a resumed run, which is known only from here on."""
        self._steps_seen = self.global_step
        if self.device.type == "cpu":
            keep_freed_memory()

    def on_train_end(self) -> None:
        """Return the memory that was kept for the steps."""
        if self.device.type == "cpu":
            return_freed_memory()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Compute the loss; all randomness in it depends on seed, step and process only."""
        number = self.current_epoch * self.resolved.batches_per_epoch + batch_index
        seed_step(int(self.resolved.run.seed or 0), number, self.global_rank)
        self._batch_number = number
        if self.finite is not None:
            self.finite.start_batch()
        with nullcontext() if self.compiled is None else self.compiled.used():
            result = self.method.training_step(batch, self.global_step)
        if self.finite is not None:
            self.finite.record_loss(result.loss, number)
        scheduled = self.method.scheduled_values(self.global_step)
        schedules = {f"schedule/{name}": value for name, value in scheduled.items()}
        self.buffer.add({"train_loss": result.loss, **result.metrics, **schedules})
        # Lightning divides by `accumulation`, also where a step has fewer batches.
        share = self.resolved.accumulation / self.resolved.batches_of_step(batch_index)
        return result.loss if share == 1 else result.loss * share

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the method change its gradients, and set the weight decay of this step."""
        with torch.no_grad():
            self.method.before_step(self.global_step)
        set_weight_decay(
            optimizer,
            self.resolved.optimizer,
            step=self.global_step,
            total_steps=self.resolved.total_steps,
        )
        # Under 16-bit precision Lightning's scaler skips such steps itself.
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if self.finite is not None and not scaled:
            self._step_skipped = self.finite.check_gradients(optimizer, self._batch_number)

    def finish_batch(self, batch_index: int) -> None:
        """Count the batch, and call `after_step` of the method if the optimizer has stepped."""
        self.batches_done = batch_index + 1
        if self.global_step != self._steps_seen:
            self._steps_seen = self.global_step
            # Lightning would keep the gradients in memory until the next backward pass.
            self.optimizers(use_pl_optimizer=False).zero_grad()  # type: ignore[union-attr]
            skipped, self._step_skipped = self._step_skipped, False
            if not skipped:
                with torch.no_grad():
                    self.method.after_step(self.global_step)

    # ------------------------------------------------------------------ checkpoints

    def network(self) -> ModelWrapper:
        """Return the network to measure and export, with all its weights on the first process."""
        return self.method.exported_wrapper() if self.replica is None else self.replica

    def exported_prefix(self) -> str:
        """Return where the exported network's tensors are in this module's state dict."""
        exported = self.method.exported_wrapper()
        for name, module in self.named_modules():
            if module is exported:
                return f"{name}."
        raise TypeError(
            f"{type(self.method).__name__}.exported_wrapper() must return a module that the "
            "method has registered as an attribute"
        )

    def position(self) -> tuple[int, int]:
        """Return the epoch and the number of its batches that a resumed run has finished."""
        if self.batches_done >= self.resolved.batches_per_epoch:
            return self.current_epoch + 1, 0
        return self.current_epoch, self.batches_done

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Convert float64 weights now. Lightning does so only after it has read those saved."""
        if self.resolved.run.precision == "64-true":
            self.double()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the run that Lightning does not save, as plain data."""
        epoch, batches = self.position()
        checkpoint["lightly"] = {
            "metadata": self.metadata,
            "exported_prefix": self.exported_prefix(),
            "config": json.dumps(self.resolved.as_dict()),
            "epoch": epoch,
            "batches": batches,
            "buffer": mean_state(self.buffer.state(), self.trainer.strategy, self.device),
            "images": self.images,
            "time": time.time(),
        }


class FinishBatch(lightning.Callback):
    """Finish each batch before any other callback runs.

    Lightning calls callbacks before the module's own hook. Otherwise a checkpoint that a callback
    writes would miss the method's last update, and the EMA teacher would be one step behind.
    """

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """See `TrainingModule.finish_batch`."""
        module.finish_batch(batch_index)


def seed_step(seed: int, batch: int, rank: int) -> None:
    """Seed all global generators from the run's seed, the number of the batch and the process.

    Random numbers of a step then do not depend on earlier steps, so a resumed run samples the same
    ones without any generator state in its checkpoint.
    """
    # SeedSequence mixes its input: the streams of adjacent steps are not correlated.
    mixed = int(np.random.SeedSequence([seed, batch, rank]).generate_state(1, np.uint32)[0])
    if _has_only_cpu():
        # `torch.manual_seed` records the stack for each kind of missing device, 0.5 ms.
        torch.default_generator.manual_seed(mixed)
    else:
        torch.manual_seed(mixed)
    random.seed(mixed)
    np.random.seed(mixed)


@functools.cache
def _has_only_cpu() -> bool:
    devices = (torch.cuda, torch.backends.mps, torch.xpu, torch.mtia)
    return not any(device.is_available() for device in devices)
