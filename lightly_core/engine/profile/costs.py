"""What a step of a run cost, as numbers, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from attrs import asdict, frozen

from lightly_core.engine.profile.profiler import PARTS, SYNCHRONISED, Part

_LABELS: dict[Part, str] = {
    "data": "waiting for data",
    "transfer": "transfer to the device",
    "views": "second stage of the views",
    "forward": "forward pass and loss",
    "backward": "backward pass",
    "update": "optimizer, EMA teacher",
    "rest": "rest (framework)",
    "between": "between epochs, saving, measuring",
}


@frozen
class Made:
    """What it costs to make a batch, in one process of the loader.

    Attributes:
        read: Seconds a batch for opening and decoding files.
        views: Seconds a batch for the first stage of the views and for stacking.
        megapixels: Mean size of the images in the files.
    """

    read: float
    views: float
    megapixels: float

    @property
    def seconds(self) -> float:
        """Seconds a batch."""
        return self.read + self.views


@frozen(kw_only=True)
class StepCosts:
    """What a step of a run cost. With gradient accumulation a step is one of its batches.

    Attributes:
        seconds: Mean seconds of each part.
        steps: Number of steps that were profiled.
        images: Images of a step of this process.
        made: What making a batch costs; None: images are in memory.
        num_workers: Processes of the loader.
        cpus: Processors for each process of the training.
        device: ``cpu``, ``gpu``, ``mps`` or another accelerator.
        precision: The setting.
        native_bf16: Whether the device computes bf16 natively.
        opencv: Whether OpenCV is installed, which computes some of the views on a CPU.
        synchronised: Whether the parts have waited for the device.
    """

    seconds: dict[Part, float]
    steps: int
    images: int
    made: Made | None
    num_workers: int
    cpus: int
    device: str
    precision: str
    native_bf16: bool
    opencv: bool
    synchronised: bool

    @property
    def total(self) -> float:
        """Seconds of a step."""
        return sum(self.seconds.values())

    def share(self, *parts: Part) -> float:
        """Return the fraction of a step that some parts take, in [0, 1]."""
        return sum(self.seconds[part] for part in parts) / self.total if self.total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; times are in milliseconds a step."""
        data = asdict(self)
        data["milliseconds"] = {p: _milliseconds(s) for p, s in data.pop("seconds").items()}
        made = data.pop("made")
        data["loader"] = made and {
            "read_milliseconds": _milliseconds(made["read"]),
            "views_milliseconds": _milliseconds(made["views"]),
            "megapixels": round(made["megapixels"], 3),
        }
        return data

    def metrics(self) -> dict[str, float]:
        """Return the milliseconds of each part as metrics."""
        parts = {f"profile/{part}_ms": 1e3 * self.seconds[part] for part in PARTS}
        return {**parts, "profile/step_ms": 1e3 * self.total}

    def table(self) -> str:
        """Return a table of milliseconds and percents for the terminal."""
        title = f"Mean cost of {self.steps} steps of {self.images} images"
        rows = [f"{title:<38}{'ms':>10}{'%':>8}"]
        for part in PARTS:
            rows.append(self._row(_LABELS[part], self.seconds[part]))
            if part == "data" and self.made is not None:
                rows += self._made_rows(self.made)
        rows.append(self._row("a step", self.total))
        if self.synchronised:
            rows.append(
                f"Each part has waited for the device, in {SYNCHRONISED} of 100 steps. In the "
                "others the parts overlap, so that a step is shorter."
            )
        return "\n".join(rows)

    def _row(self, label: str, seconds: float) -> str:
        percent = 100 * seconds / self.total if self.total else 0.0
        return f"  {label:<36}{1e3 * seconds:>10.2f}{percent:>8.1f}"

    def _made_rows(self, made: Made) -> list[str]:
        """Return the rows of the loader's work, which a step does not wait for with workers."""
        where = f"{self.num_workers} workers" if self.num_workers else "this process"
        return [
            f"    {f'in {where}: read and decode':<34}{1e3 * made.read:>10.2f}",
            f"    {f'in {where}: first stage of views':<34}{1e3 * made.views:>10.2f}",
        ]


def _milliseconds(seconds: float) -> float:
    return round(1e3 * seconds, 3)
