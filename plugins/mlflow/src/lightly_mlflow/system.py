"""Measures the load of the machine in a thread, by MLflow's own monitors."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)


class SystemMonitor:
    """Measures every few seconds until it is stopped.

    Args:
        seconds: Seconds between two measurements.
        record: Gets the values by name, such as ``system/cpu_utilization_percentage``.
    """

    def __init__(self, seconds: float, record: Callable[[Mapping[str, float]], None]) -> None:
        self._seconds = seconds
        self._record = record
        self._stop = threading.Event()
        self._monitors = _monitors()
        self._thread = threading.Thread(target=self._run, name="system metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop measuring."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self._record(self._measure())
            except Exception:  # a sensor that does not answer must not end the others
                log.debug("The load of the machine cannot be measured.", exc_info=True)

    def _measure(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values.update(monitor.aggregate_metrics())
            monitor.clear_metrics()
        return {f"system/{name}": float(value) for name, value in values.items()}


def _monitors() -> list[Any]:
    monitors: list[Any] = []
    for name in ("CPU", "Disk", "Network", "GPU"):
        cls = f"{name}Monitor"
        module = f"mlflow.system_metrics.metrics.{name.lower()}_monitor"
        try:
            found = importlib.import_module(module)
            monitors.append(getattr(found, cls)())
        except Exception:  # no GPU, no driver, or no package for it
            log.debug("%s cannot measure here.", cls, exc_info=True)
    return monitors


def seconds_since(start: int) -> int:
    """Return whole seconds since a time in milliseconds since 1970."""
    return max(0, time.time_ns() // 1_000_000 - start) // 1000
