"""Processors and accelerators of this machine."""

from __future__ import annotations

import sys

from lightly_core.config.auto.machine import (
    Machine,
    cpu_has_native_bf16,
    cpus_are_per_process,
    gpu_is_impossible,
    usable_cpus,
)
from lightly_core.config.reading.launch import find_launch


def inspect_machine() -> Machine:
    """Return processors and accelerators.

    Torch finds the accelerators. If it is not imported yet, it is not imported on machines without
    a driver for GPUs, where its answer is known.
    """
    cuda_devices, cuda_bf16, mps = 0, False, False
    if "torch" in sys.modules or not gpu_is_impossible():
        import torch

        cuda_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        # Emulated bf16 on older cards is slower than float32.
        cuda_bf16 = cuda_devices > 0 and torch.cuda.is_bf16_supported(including_emulation=False)
        mps = torch.backends.mps.is_available()
    return Machine(
        cpus=usable_cpus(),
        cpus_per_process=cpus_are_per_process(),
        cuda_devices=cuda_devices,
        cuda_bf16=cuda_bf16,
        mps=mps,
        cpu_bf16=cpu_has_native_bf16(),
        launch=find_launch(),
    )
