"""Processors, accelerators and memory of the machine, and the precision that a run takes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from lightly_core.config.auto.hardware import auto_precision
from lightly_core.config.auto.machine import Machine, gpu_is_impossible, memory_bytes
from lightly_core.diagnosing.report import Section
from lightly_core.diagnosing.versions import has_opencv
from lightly_core.engine.plan.size import bytes_text


def devices(machine: Machine) -> Section:
    """Return processors, memory, accelerators and the precision of `precision=auto`.

    Args:
        machine: What torch and the system have found.
    """
    whole = memory_bytes()
    rows = [
        ("processor", _processor()),
        ("CPUs", _cpus(machine)),
        ("memory", "not known" if whole is None else bytes_text(whole)),
        *_accelerators(machine),
    ]
    accelerator = auto_accelerator(machine)
    precision = auto_precision(accelerator, machine)
    native = "natively" if precision == "bf16-mixed" else "not natively"
    device = {"gpu": "GPU", "mps": "Apple GPU"}.get(accelerator, "CPU")
    rows.append(("precision", f"{precision}, as the {device} computes bf16 {native}"))
    return Section("Devices", tuple(rows), tuple(_advice(machine, accelerator)))


def auto_accelerator(machine: Machine) -> str:
    """Return the accelerator that `accelerator=auto` takes."""
    return "gpu" if machine.cuda_devices else "mps" if machine.mps else "cpu"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cpus(machine: Machine) -> str:
    there = os.cpu_count() or machine.cpus
    if machine.cpus == there:
        return f"{there}, and this process may use all"
    return f"{there}, of which this process may use {machine.cpus} (affinity, container or job)"


def _accelerators(machine: Machine) -> list[tuple[str, str]]:
    rows = [] if machine.cuda_devices or machine.mps else [("GPU", "none")]
    for number in range(machine.cuda_devices):
        found = torch.cuda.get_device_properties(number)
        free, whole = torch.cuda.mem_get_info(number)
        rows.append(
            (
                f"GPU {number}",
                f"{found.name}, {bytes_text(whole)} of memory, {bytes_text(free)} free, compute "
                f"capability {found.major}.{found.minor}",
            )
        )
    if machine.mps:
        rows.append(("GPU", "Apple's, by MPS"))
    built = torch.version.cuda or torch.version.hip or "none, this build is for CPUs"
    rows.append(("CUDA of torch", str(built)))
    return rows


def _advice(machine: Machine, accelerator: str) -> list[str]:
    advice = []
    if accelerator == "cpu" and not gpu_is_impossible() and not torch.backends.mps.is_built():
        advice.append(
            f"the system has a driver for GPUs, but torch {torch.__version__} finds no device; "
            "install a torch build for it (https://pytorch.org/get-started), and check "
            "CUDA_VISIBLE_DEVICES"
        )
    if accelerator == "cpu" and not has_opencv():
        advice.append(
            "OpenCV is not installed, so torch computes colours and blur of the views on the CPU "
            "(docs/images.md): pip install 'lightly-core[opencv]'"
        )
    return advice
