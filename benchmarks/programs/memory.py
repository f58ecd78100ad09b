"""The largest resident memory of this process from some moment on; on Linux."""

from __future__ import annotations

from pathlib import Path


class PeakMemory:
    """Starts to measure when it is created."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM becomes VmRSS
        self._before = _kibibytes("VmRSS")

    def mebibytes(self) -> float:
        """Return the largest memory so far beyond that at the start."""
        return (_kibibytes("VmHWM") - self._before) / 1024


def _kibibytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
