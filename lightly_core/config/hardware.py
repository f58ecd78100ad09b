"""Settings that follow from the machine: devices, precision, what is kept in memory."""

from __future__ import annotations

from attrs import evolve

from lightly_core.config.checks import read_devices
from lightly_core.config.load import Settings
from lightly_core.config.machine import Machine
from lightly_core.config.memory import MemoryChoice
from lightly_core.config.settings import PythonObject, RunConfig
from lightly_core.errors import ConfigError


def resolve_hardware(
    settings: Settings, machine: Machine, memory: MemoryChoice, warnings: list[str]
) -> RunConfig:
    """Replace every "auto" that depends on the machine.

    Args:
        settings: What the user asked for.
        machine: What there is.
        memory: Whether images are kept in memory.
        warnings: What the user should know is added.

    Raises:
        ConfigError: The settings do not fit the machine.
    """
    run = settings.run
    accelerator = _accelerator(run, machine)
    kind = accelerator if isinstance(accelerator, str) else "other"
    precision = run.precision
    if precision == "auto":
        tiny = kind == "cpu" and _has_tiny_views(settings)
        bf16 = has_native_bf16(accelerator, machine) and not tiny
        precision = "bf16-mixed" if bf16 else "32-true"
    if (precision, kind) in (("16-mixed", "cpu"), ("64-true", "mps")):
        raise ConfigError(
            f"config.precision: '{precision}' does not work on accelerator '{kind}'; use 'auto'"
        )
    matmul = run.float32_matmul_precision
    if matmul == "auto":
        matmul = "high" if kind == "gpu" else "highest"
    return evolve(
        run,
        in_memory=memory.use,
        accelerator=accelerator,
        devices=_devices(run, machine, kind, warnings),
        precision=precision,
        float32_matmul_precision=matmul,
    )


def _has_tiny_views(settings: Settings) -> bool:
    # torch 2.15 on CPUs: the weight gradient of a bf16 convolution of 3x3 and stride 2 is garbage
    # where the map has one position, as before a ResNet's last stage for views of 16 pixels.
    return min(min(spec.size) for spec in settings.transform.view_specs()) < 32


def has_native_bf16(accelerator: str | PythonObject, machine: Machine) -> bool:
    """Tell whether the devices that are used compute bfloat16 natively."""
    return {"gpu": machine.cuda_bf16, "cpu": machine.cpu_bf16}.get(str(accelerator), False)


def _accelerator(run: RunConfig, machine: Machine) -> str | PythonObject:
    wanted = run.accelerator
    if isinstance(wanted, PythonObject) or wanted == "cpu":
        return wanted
    # Lightning, too, calls both kinds of graphics processors "gpu".
    if machine.cuda_devices and wanted in ("auto", "gpu", "cuda"):
        return "gpu"
    if machine.mps and wanted in ("auto", "gpu", "mps"):
        return "mps"
    if wanted == "auto":
        return "cpu"
    found = "a CUDA device" if machine.cuda_devices else "an Apple GPU" if machine.mps else "no GPU"
    raise ConfigError(
        f"config.accelerator: '{wanted}' is not there, torch finds {found}; "
        "use accelerator=auto, or install a torch build for your device"
    )


def _devices(run: RunConfig, machine: Machine, kind: str, warnings: list[str]) -> int | list[int]:
    devices = read_devices(run.devices)
    available = {"gpu": machine.cuda_devices, "mps": 1}.get(kind)
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
