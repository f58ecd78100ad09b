"""Why "auto" was replaced by which value, as texts for users."""

from __future__ import annotations

from collections.abc import Callable

from lightly_core.config.auto.hardware import has_native_bf16, has_tiny_views
from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.resolve import MAX_AUTO_WORKERS, Resolved
from lightly_core.config.reading.load import Settings


def auto_reasons(settings: Settings, resolved: Resolved, machine: Machine) -> dict[str, str]:
    """Return the reason for each setting of the run that was "auto", by its name.

    Args:
        settings: The user's settings.
        resolved: The same without "auto".
        machine: Facts about the machine from which they were resolved.
    """
    return {
        name: reason(resolved, machine)
        for name, reason in _REASONS.items()
        if getattr(settings.run, name) == "auto"
    }


def _epochs(resolved: Resolved, machine: Machine) -> str:
    return resolved.length.reason


def _num_workers(resolved: Resolved, machine: Machine) -> str:
    if resolved.run.num_workers == MAX_AUTO_WORKERS:
        return f"the most; {machine.cpus} CPUs"
    shared = "" if machine.cpus_per_process else f" for {resolved.local_devices} processes"
    cpus = f"{machine.cpus} CPU{'s' if machine.cpus > 1 else ''}"
    return f"{cpus}{shared if resolved.local_devices > 1 else ''}, one is kept for the training"


def _recipe(resolved: Resolved, machine: Machine) -> str:
    return resolved.recipe.reason


def _in_memory(resolved: Resolved, machine: Machine) -> str:
    return resolved.memory.reason


def _accelerator(resolved: Resolved, machine: Machine) -> str:
    found = {"gpu": "torch finds a CUDA device", "mps": "torch finds Apple's GPU"}
    return found.get(str(resolved.run.accelerator), "torch finds no GPU")


def _devices(resolved: Resolved, machine: Machine) -> str:
    if machine.launch is not None:
        return f"processes of {machine.launch.launcher} on this machine"
    if resolved.run.accelerator == "gpu":
        return "all CUDA devices"
    return "one process"


def _strategy(resolved: Resolved, machine: Machine) -> str:
    return "several devices" if resolved.world_size > 1 else "one device"


def _precision(resolved: Resolved, machine: Machine) -> str:
    accelerator = resolved.run.accelerator
    device = {"gpu": "the GPU", "cpu": "the CPU"}.get(str(accelerator), "the device")
    native = has_native_bf16(accelerator, machine)
    if native and resolved.run.precision == "32-true" and has_tiny_views(resolved):
        return "on CPUs, torch's bf16 is not used for views below 32 pixels"
    return f"{device} {'computes' if native else 'does not compute'} bf16 natively"


def _matmul(resolved: Resolved, machine: Machine) -> str:
    return "on CUDA" if resolved.run.accelerator == "gpu" else "not on CUDA"


def _optim(resolved: Resolved, machine: Machine) -> str:
    return f"the optimizer of {resolved.method_record.name}"


_REASONS: dict[str, Callable[[Resolved, Machine], str]] = {
    "recipe": _recipe,
    "epochs": _epochs,
    "num_workers": _num_workers,
    "in_memory": _in_memory,
    "accelerator": _accelerator,
    "devices": _devices,
    "strategy": _strategy,
    "precision": _precision,
    "float32_matmul_precision": _matmul,
    "optim": _optim,
}
