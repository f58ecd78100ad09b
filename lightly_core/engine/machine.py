"""Processors and accelerators of this machine, as torch reports them."""

from __future__ import annotations

import torch

from lightly_core.config.auto.machine import (
    Machine,
    cpu_has_native_bf16,
    cpus_are_per_process,
    usable_cpus,
)
from lightly_core.config.reading.launch import find_launch


def inspect_machine() -> Machine:
    """Return processors and accelerators."""
    cuda_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Machine(
        cpus=usable_cpus(),
        cpus_per_process=cpus_are_per_process(),
        cuda_devices=cuda_devices,
        # Emulated bf16 on older cards is slower than float32.
        cuda_bf16=cuda_devices > 0 and torch.cuda.is_bf16_supported(including_emulation=False),
        mps=torch.backends.mps.is_available(),
        cpu_bf16=cpu_has_native_bf16(),
        launch=find_launch(),
    )
