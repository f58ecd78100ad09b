"""Resolves the settings that depend on the machine: devices, precision, images in memory."""

from __future__ import annotations

import re
from typing import Literal

from attrs import evolve

from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.config.options.checks import read_devices
from lightly_core.config.options.settings import PythonObject, RunConfig
from lightly_core.config.reading.launch import Launch
from lightly_core.config.reading.load import Settings
from lightly_core.errors import ConfigError


def resolve_hardware(
    settings: Settings, machine: Machine, memory: MemoryChoice, warnings: list[str]
) -> RunConfig:
    """Replace every "auto" that depends on the machine.

    Args:
        settings: The user's settings.
        machine: Facts about the machine.
        memory: Whether images are kept in memory.
        warnings: Warnings for the user are appended to it.

    Raises:
        ConfigError: The settings do not fit the machine.
    """
    run = settings.run
    accelerator = _accelerator(run, machine)
    kind = accelerator if isinstance(accelerator, str) else "other"
    precision = run.precision
    if precision == "auto":
        tiny = has_tiny_views(settings)
        precision = auto_precision(accelerator, machine, tiny_views=tiny)
    if (precision, kind) in (("16-mixed", "cpu"), ("64-true", "mps")):
        raise ConfigError(
            f"config.precision: '{precision}' does not work on accelerator '{kind}'; use 'auto'"
        )
    matmul = run.float32_matmul_precision
    if matmul == "auto":
        matmul = "high" if kind == "gpu" else "highest"
    _refuse_multiprocessing(run)
    devices = _devices(run, machine, kind, warnings)
    num_nodes = run.num_nodes
    if machine.launch is not None:
        devices, num_nodes = _launched(run, devices, machine.launch)
    return evolve(
        run,
        in_memory=memory.use,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        precision=precision,
        float32_matmul_precision=matmul,
    )


def has_tiny_views(settings: Settings) -> bool:
    """Return whether a view has less than 32 pixels a side."""
    # torch 2.15 on CPUs: the weight gradient of a bf16 convolution of 3x3 and stride 2 is wrong if
    # the feature map has one position, as before a ResNet's last stage for views of 16 pixels.
    return min(min(spec.size) for spec in settings.transform.view_specs()) < 32


def auto_precision(
    accelerator: str | PythonObject, machine: Machine, *, tiny_views: bool = False
) -> Literal["bf16-mixed", "32-true"]:
    """Return the precision that "auto" takes.

    Args:
        accelerator: Without "auto".
        machine: Facts about the machine.
        tiny_views: Whether a view has less than 32 pixels a side.
    """
    tiny = tiny_views and accelerator == "cpu"
    return "bf16-mixed" if has_native_bf16(accelerator, machine) and not tiny else "32-true"


def has_native_bf16(accelerator: str | PythonObject, machine: Machine) -> bool:
    """Return whether the devices of this accelerator compute bfloat16 natively."""
    return {"gpu": machine.cuda_bf16, "cpu": machine.cpu_bf16}.get(str(accelerator), False)


def _accelerator(run: RunConfig, machine: Machine) -> str | PythonObject:
    wanted = run.accelerator
    if isinstance(wanted, PythonObject) or wanted == "cpu":
        return wanted
    # "gpu" means CUDA or Apple's GPU, as in Lightning.
    if machine.cuda_devices and wanted in ("auto", "gpu", "cuda"):
        return "gpu"
    if machine.mps and wanted in ("auto", "gpu", "mps"):
        return "mps"
    if wanted == "auto":
        return "cpu"
    found = "a CUDA device" if machine.cuda_devices else "an Apple GPU" if machine.mps else "no GPU"
    raise ConfigError(
        f"config.accelerator: got '{wanted}', but torch finds {found}; use accelerator=auto, or "
        "install a torch build for your device"
    )


def _devices(run: RunConfig, machine: Machine, kind: str, warnings: list[str]) -> int | list[int]:
    devices = read_devices(run.devices)
    available = {"gpu": machine.cuda_devices, "mps": 1}.get(kind)
    if devices is None and machine.launch is not None:
        devices = machine.launch.local_size
        if available is not None and devices > available:
            raise ConfigError(
                f"config.devices: {machine.launch.launcher} started {devices} processes on this "
                f"machine, but this one sees {available} device(s); start fewer processes, or let "
                "each see all devices (SLURM: --gpus-per-node instead of --gpus-per-task)"
            )
    if devices is None:
        return available or 1
    if kind == "cpu" and isinstance(devices, list):
        warnings.append(
            f"devices={run.devices!r}: CPUs cannot be chosen by number, "
            f"{len(devices)} processes are used"
        )
        return len(devices)
    if available is not None:
        too_many = max(devices) >= available if isinstance(devices, list) else devices > available
        if too_many:
            there = (
                "is only 1 device"
                if available == 1
                else f"are only {available} devices, numbered 0 to {available - 1}"
            )
            raise ConfigError(f"config.devices: got {run.devices!r}, but there {there}")
    return devices


def _launched(
    run: RunConfig, devices: int | list[int], launch: Launch
) -> tuple[int | list[int], int]:
    """Return the devices of a node and the number of nodes of a launch.

    Raises:
        ConfigError: The settings differ from the launch.
    """
    count = len(devices) if isinstance(devices, list) else devices
    problems = []
    if count != launch.local_size:
        problems.append(
            f"config.devices: got {run.devices!r}, but {launch.launcher} started "
            f"{launch.local_size} process(es) on this machine, one for each device; remove the "
            "setting, or start as many processes"
        )
    if run.num_nodes not in (1, launch.num_nodes):  # 1 is the default
        problems.append(
            f"config.num_nodes: got {run.num_nodes}, but {launch.launcher} started processes on "
            f"{launch.num_nodes} machine(s); remove the setting, or start it on as many machines"
        )
    if problems:
        raise ConfigError.of(problems)
    return devices, launch.num_nodes


def _refuse_multiprocessing(run: RunConfig) -> None:
    """Refuse strategies of Lightning whose processes are children of multiprocessing.

    The objects of a run cannot be sent to such processes, and their weights would not be returned.
    """
    strategy = run.strategy
    if isinstance(strategy, PythonObject):
        method = getattr(strategy.value, "_start_method", "popen")
        starts = "" if method == "popen" else f"start_method={method!r}"
    else:
        starts = strategy if re.search(r"_(spawn|fork|forkserver|notebook)(_|$)", strategy) else ""
    if starts:
        raise ConfigError(
            f"config.strategy: got {run.strategy} with child processes of multiprocessing "
            f"({starts}), in which a run cannot continue; use strategy=ddp, which starts the same "
            "command once for each device (from a notebook: save the call as a script)"
        )
