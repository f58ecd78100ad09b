"""Replaces every "auto" by a value. Pure functions of numbers about the machine and the data."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import attrs
from attrs import define, evolve

from lightly_core.config.auto.compare import diff as diff  # compares what `as_dict` returns
from lightly_core.config.auto.hardware import has_native_bf16, resolve_hardware
from lightly_core.config.auto.length import Length, choose_length, step_limit
from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.memory import MemoryChoice, unseen
from lightly_core.config.auto.recipe import RecipeChoice, with_recipe
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.auto.watching import Work, resolve_callbacks
from lightly_core.config.options.fields import plain
from lightly_core.config.options.method import MethodConfig, RunFacts, unresolved
from lightly_core.config.options.optim import OptimizerArgs
from lightly_core.config.options.settings import PythonObject, RunConfig
from lightly_core.config.reading.foreign_args import idle_trainer_args
from lightly_core.config.reading.load import DEFAULT_LOGGERS, Settings
from lightly_core.errors import ConfigError, DataError, PluginError

MAX_AUTO_WORKERS = 16
_MAX_LOG_INTERVAL = 50


@define(frozen=True, kw_only=True)
class Resolved(Settings):
    """Settings without "auto", and the numbers that are computed from them.

    ``run`` holds the actual batch size, which is that of one forward pass over all processes, the
    number of epochs, ``devices`` as an int or a list of ints, and the actual seed.

    Attributes:
        warnings: Warnings for the user. The caller logs them once.
        seed_drawn: Whether the setting was ``seed=None``, so that the seed is random.
        dataset_size: Number of images.
        world_size: Number of processes on all nodes.
        local_devices: Number of processes on one node.
        per_device_batch_size: Images in one forward of one process.
        accumulation: Batches per optimizer step, at most those of an epoch.
        effective_batch_size: Images per optimizer step.
        batches_per_epoch: Batches of one process in an epoch; the last, incomplete one is dropped.
        steps_per_epoch: Optimizer steps of an epoch; an incomplete accumulation at its end counts.
        total_steps: Optimizer steps of the run.
        peak_lr: Learning rate after the warm-up.
        warmup_steps: Optimizer steps of the warm-up.
        gradient_clip_val: Norm to which Lightning clips gradients; None: no clipping.
        log_every_n_steps: Optimizer steps between two entries of the metrics.
        memory: Whether images are kept in memory, with the reason.
        recipe: Whether the values are the paper's or those for short runs, with the reason.
        length: Epochs and steps, with the reason.
    """

    warnings: tuple[str, ...]
    seed_drawn: bool
    dataset_size: int
    world_size: int
    local_devices: int
    per_device_batch_size: int
    accumulation: int
    effective_batch_size: int
    batches_per_epoch: int
    steps_per_epoch: int
    total_steps: int
    peak_lr: float
    warmup_steps: int
    gradient_clip_val: float | None
    log_every_n_steps: int
    memory: MemoryChoice
    recipe: RecipeChoice
    length: Length

    def batches_of_step(self, batch_index: int) -> int:
        """Return the number of batches in the step of a batch: the last one of an epoch has fewer.

        Args:
            batch_index: Number of the batch in its epoch, from 0.
        """
        first = batch_index // self.accumulation * self.accumulation
        return min(self.accumulation, self.batches_per_epoch - first)

    def as_dict(self) -> dict[str, Any]:
        """Return nested plain data: the settings with complete groups, and "derived".

        It is logged and stored, so passwords and keys in addresses are removed.
        """
        loggers = {**dict.fromkeys(DEFAULT_LOGGERS), **self.loggers}
        groups = {
            "method_args": self.method,
            "transform_args": self.transform,
            "optim_args": self.optimizer,
            "callbacks": self.callbacks,
            "loggers": loggers,
        }
        given = {field.name for field in attrs.fields(Settings)}
        derived = {
            field.name: getattr(self, field.name)
            for field in attrs.fields(Resolved)
            if field.name not in {*given, "warnings"}
        }
        derived["batch_size"] = self.run.batch_size
        data: dict[str, Any] = plain(self.run)
        data.update({name: plain(group) for name, group in groups.items()})
        data["derived"] = plain(derived)
        return {name: without_secrets(value) for name, value in data.items()}


def draw_seed() -> int:
    """Return a random seed from the operating system, in [0, 2**32 - 1]."""
    return int.from_bytes(os.urandom(4), "little")


def resolve(
    settings: Settings,
    machine: Machine,
    dataset_size: int,
    *,
    val_size: int | None = None,
    memory: MemoryChoice | None = None,
    draw_seed: Callable[[], int] = draw_seed,
) -> Resolved:
    """Replace every "auto" by a value and compute the numbers of the run.

    Args:
        settings: The user's settings.
        machine: Facts about the machine.
        dataset_size: Number of images.
        val_size: Number of images of `val_data`; None: there are none.
        memory: Whether images are kept in memory; None: no image was read to decide.
        draw_seed: Called if the seed is None. A resumed run returns its old seed, and all processes
            of a run return the same one.

    Raises:
        ConfigError: The settings do not fit the machine, or the batch size does not fit the
            devices.
        DataError: There are fewer images than processes.
        PluginError: The resolved options of the method still contain "auto".
    """
    warnings = [*idle_trainer_args(settings.run)]
    memory = memory or unseen(settings.run.in_memory)
    settings, recipe = with_recipe(asked := settings, images_seen(settings, dataset_size))
    run = resolve_hardware(settings, machine, memory, warnings)
    world_size = (local := _local_devices(run)) * run.num_nodes
    batch_size = _batch_size(run, world_size, dataset_size, warnings)
    batches = _batches_per_epoch(run, dataset_size // batch_size)
    accumulation = _accumulation(run, batches, warnings)
    effective_batch_size = batch_size * accumulation
    steps_per_epoch = math.ceil(batches / accumulation)
    length = _length(asked, dataset_size, steps_per_epoch)
    total_steps = length.steps
    warnings += _shortened_warmup(settings, steps_per_epoch, total_steps)
    native = has_native_bf16(run.accelerator, machine)
    facts = RunFacts(dataset_size, effective_batch_size, total_steps, steps_per_epoch, native)
    run = evolve(
        run, batch_size=batch_size, epochs=length.epochs, strategy=_strategy(run, world_size)
    )
    run = _with_workers_and_seed(run, machine, local, draw_seed)
    filled = _settings(settings, run, facts, world_size, val_size)
    return Resolved(
        **{field.name: getattr(filled, field.name) for field in attrs.fields(Settings)},
        warnings=tuple(warnings),
        seed_drawn=settings.run.seed is None,
        dataset_size=dataset_size,
        world_size=world_size,
        local_devices=local,
        per_device_batch_size=batch_size // world_size,
        accumulation=accumulation,
        effective_batch_size=effective_batch_size,
        batches_per_epoch=batches,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        peak_lr=peak_lr(settings.optimizer, effective_batch_size),
        warmup_steps=warmup_steps(settings.optimizer, steps_per_epoch, total_steps),
        gradient_clip_val=_clip_value(run, type(settings.method)),
        log_every_n_steps=_log_interval(run, steps_per_epoch),
        memory=memory,
        recipe=recipe,
        length=length,
    )


def _with_workers_and_seed(
    run: RunConfig, machine: Machine, local_devices: int, draw_seed: Callable[[], int]
) -> RunConfig:
    seed = draw_seed() if run.seed is None else run.seed
    return evolve(run, num_workers=_num_workers(run, machine, local_devices), seed=seed)


def _settings(
    settings: Settings, run: RunConfig, facts: RunFacts, world_size: int, val_size: int | None
) -> Settings:
    work = Work.of_run(
        total_steps=facts.total_steps,
        steps_per_epoch=facts.steps_per_epoch,
        effective_batch_size=facts.effective_batch_size,
        world_size=world_size,
        views=_views(settings),
        dataset_size=facts.dataset_size,
    )
    return evolve(
        settings,
        run=evolve(run, optim=settings.optimizer_name),
        method=_method(settings, facts),
        transform=evolve(settings.transform, num_channels=settings.transform.channels),
        callbacks=resolve_callbacks(settings.callbacks, work, val_size),
    )


def _views(settings: Settings) -> float:
    """Return the views per image, each counted by its pixels relative to a global view."""
    height, width = settings.transform.size
    return sum(math.prod(spec.size) for spec in settings.transform.view_specs()) / (height * width)


def _strategy(run: RunConfig, world_size: int) -> str | PythonObject:
    return "ddp" if run.strategy == "auto" and world_size > 1 else run.strategy


def _local_devices(run: RunConfig) -> int:
    return len(run.devices) if isinstance(run.devices, list) else int(run.devices)


# --------------------------------------------------------------------------- schedule


def peak_lr(optimizer: OptimizerArgs, effective_batch_size: int) -> float:
    """Return the learning rate after the warm-up."""
    ratio = effective_batch_size / optimizer.reference_batch_size
    factor = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}
    return optimizer.lr * factor[optimizer.lr_scale_method]


def warmup_steps(optimizer: OptimizerArgs, steps_per_epoch: int, total_steps: int) -> int:
    """Return the optimizer steps of the warm-up, at most `warmup_max_fraction` of the run."""
    wanted = optimizer.warmup_epochs * steps_per_epoch
    return round(min(wanted, optimizer.warmup_max_fraction * total_steps))


def _shortened_warmup(settings: Settings, steps_per_epoch: int, total_steps: int) -> list[str]:
    """Return a warning if the requested warm-up does not fit into the run."""
    asked = settings.optimizer.warmup_epochs
    steps = warmup_steps(settings.optimizer, steps_per_epoch, total_steps)
    given = "warmup_epochs" in (settings.run.optim_args or {})
    if not given or total_steps == 0 or round(asked * steps_per_epoch) <= steps:
        return []
    return [
        f"optim_args.warmup_epochs={asked:g} is shortened to {steps} steps, as "
        f"warmup_max_fraction={settings.optimizer.warmup_max_fraction:g} of the {total_steps} "
        "steps of the run is the most"
    ]


def images_seen(settings: Settings, dataset_size: int) -> int:
    """Return how many images a run sees, counted as often as they are seen, at most."""
    batch = max(1, min(settings.run.batch_size, dataset_size))
    steps_per_epoch = max(1, dataset_size // batch)
    seen = dataset_size * _length(settings, dataset_size, steps_per_epoch).epochs
    limit = step_limit(settings.run)
    accumulated = batch * settings.run.gradient_accumulation_steps
    return seen if limit is None else min(seen, limit * accumulated)


def _length(settings: Settings, dataset_size: int, steps_per_epoch: int) -> Length:
    method, name = type(settings.method), settings.method_record.name
    return choose_length(settings.run, method, name, max(1, dataset_size), steps_per_epoch)


def _clip_value(run: RunConfig, config_cls: type[MethodConfig]) -> float | None:
    value: float | None = (run.trainer_args or {}).get(
        "gradient_clip_val", config_cls.gradient_clip_val
    )
    return value


def _accumulation(run: RunConfig, batches: int, warnings: list[str]) -> int:
    accumulation = run.gradient_accumulation_steps
    if accumulation > batches:
        warnings.append(
            f"gradient_accumulation_steps={accumulation}, but an epoch has only {batches} "
            f"batches: every epoch makes one step of {batches} batches"
        )
    return min(accumulation, batches)


def _log_interval(run: RunConfig, steps_per_epoch: int) -> int:
    given = (run.trainer_args or {}).get("log_every_n_steps")
    if isinstance(given, int) and given >= 1:
        return given
    return max(1, min(_MAX_LOG_INTERVAL, steps_per_epoch))


def _method(settings: Settings, facts: RunFacts) -> MethodConfig:
    method = settings.method.resolve(facts)
    if left := unresolved(method):
        raise PluginError(
            f"{settings.method_record.label} leaves 'auto' in {', '.join(left)}"
            "\n  resolve() of its option class must replace every 'auto'"
        )
    return method


# --------------------------------------------------------------------------- data


def _batch_size(run: RunConfig, world_size: int, dataset_size: int, warnings: list[str]) -> int:
    wanted = run.batch_size
    if wanted % world_size:
        lower = wanted // world_size * world_size
        near = [str(size) for size in (lower, lower + world_size) if size]
        advice = f"use batch_size={' or '.join(near)}"
        if run.resume_interrupted:  # its batch size is that of the interrupted run
            most = next(n for n in range(world_size, 0, -1) if wanted % n == 0)
            advice = f"go on with fewer devices, {most} at most"
        raise ConfigError(
            f"config.batch_size: got {wanted} images, which cannot be divided equally among "
            f"{world_size} devices (devices * num_nodes); {advice}"
        )
    if dataset_size < world_size:
        raise DataError(
            f"got {dataset_size} images, but each of the {world_size} devices needs at least one"
            "\n  give more images, or use fewer devices"
        )
    if dataset_size >= wanted:
        return wanted
    reduced = dataset_size // world_size * world_size
    warnings.append(
        f"batch_size={wanted} is larger than the number of images, {dataset_size}: "
        f"batch_size={reduced} is used"
    )
    return reduced


def _batches_per_epoch(run: RunConfig, batches: int) -> int:
    """Apply Lightning's limit: a number of batches, or a fraction of them."""
    limit = (run.trainer_args or {}).get("limit_train_batches")
    if isinstance(limit, int) and not isinstance(limit, bool):
        batches = min(batches, limit)
    elif isinstance(limit, float):
        batches = int(batches * limit)
    if batches < 1:
        raise ConfigError(
            f"config.trainer_args.limit_train_batches: {limit} leaves no batch to train on; "
            "set a larger limit, or epochs=0 to export the model without training"
        )
    return batches


def _num_workers(run: RunConfig, machine: Machine, local_devices: int) -> int:
    if run.num_workers != "auto":
        return run.num_workers
    cpus = machine.cpus if machine.cpus_per_process else machine.cpus // local_devices
    # One CPU is reserved for the training process, unless no worker would remain then.
    least = 1 if machine.cpus >= 2 else 0
    return max(least, min(MAX_AUTO_WORKERS, cpus - 1))
