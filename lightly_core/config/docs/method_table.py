"""`docs/methods.md`: one table of all installed methods, from their option classes.

What a step costs is measured by `examples/method_costs.py`, which writes `docs/method-costs.csv`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from attrs import define

from lightly_core.config.options.method import MethodCard, MethodConfig
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.records import MethodRecord

#: What the others are compared with.
REFERENCE = "simclr"

_HEAD = """# Methods

Made from the option classes of the plugins, and from what `examples/method_costs.py` has
measured, by `python -m lightly_core.config.docs`; do not edit this page.

[method-settings.md](method-settings.md) lists the options of each method. What each has been seen
to learn is in [benchmarks.md](benchmarks.md).

- **views**: global views of an image and, behind the plus, small ones, by default.
- **needs**: what it asks of the network. Patch tokens are those of vision transformers.
- **teacher**: `average` is a moving average of the student, a second copy of the network;
  `frozen` is a trained network.
- **keeps**: what lives on from batch to batch beside the teacher.
- **step**, **memory**: time of a step and memory that it takes, relative to `simclr` on the same
  network, each method with its own default heads and views; on one core of a CPU / on a GPU. Times
  of two runs differ by up to a third, so look at the order of magnitude.
"""

#: What one stands for on each device.
_DEVICES = {
    "cpu": "(32 images of 96 pixels, small views of 48, one CPU core, single precision)",
    "cuda": "(256 images of 128 pixels, small views of 64, one NVIDIA H100, bf16-mixed)",
}

_COLUMNS = ("method", "paper", "views", "needs", "teacher", "keeps", "step", "memory", "when")


@define(frozen=True)
class Cost:
    """What a step of a method was measured to need.

    Attributes:
        seconds: Of one step.
        mib: Growth of the process's memory, or on a GPU that of tensors.
    """

    seconds: float
    mib: float


#: By method, network and device ("cpu" or "cuda").
Costs: TypeAlias = Mapping[tuple[str, str, str], Cost]


def read_costs(file: Path) -> Costs:
    """Read what `examples/method_costs.py` wrote; empty without a file."""
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {
        (row["method"], row["backbone"], row["device"]): Cost(
            float(row["seconds"]), float(row["mib"])
        )
        for row in rows
    }


def methods_page(costs_file: Path) -> str:
    """Return `docs/methods.md`."""
    costs = read_costs(costs_file)
    sections = [_HEAD]
    for distribution, records in sorted(_by_distribution().items()):
        lines = [
            f"## {distribution}",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            f"|{'---|' * len(_COLUMNS)}",
        ]
        for record in records:
            config = load_config(record)
            assert issubclass(config, MethodConfig)
            if config.card is not None:
                cells = _cells(record.name, config, config.card, costs)
                lines.append(f"| {' | '.join(cells)} |")
        if len(lines) > 4:
            sections.append("\n".join(lines) + "\n")
    return "\n".join([*sections, _measured(costs)])


def _by_distribution() -> Mapping[str, list[MethodRecord]]:
    groups: dict[str, list[MethodRecord]] = {}
    for record in get_plugins().catalog.records("method"):
        if record.alias_of is None:
            groups.setdefault(record.distribution, []).append(record)
    return groups


def _cells(
    name: str,
    config: type[MethodConfig],
    card: MethodCard,
    costs: Costs,
) -> tuple[str, ...]:
    address = card.url or f"https://arxiv.org/abs/{card.arxiv}"
    step, memory = _relative(name, costs)
    return (
        f"`{name}`",
        f"[{card.paper}]({address})",
        _views(config),
        card.needs or _capability(config),
        "" if card.teacher == "none" else card.teacher,
        card.memory,
        step,
        memory,
        card.use,
    )


def _capability(config: type[MethodConfig]) -> str:
    requires = config.requires
    if requires.whole_patches or requires.capability == "tokens":
        return "patch tokens"
    return (requires.capability or "").replace("_", " ")


def _views(config: type[MethodConfig]) -> str:
    transform = config.default_transform()
    num_local = len(transform.view_specs()) - transform.num_views
    return f"{transform.num_views} + {num_local}" if num_local else str(transform.num_views)


def _relative(name: str, costs: Costs) -> tuple[str, str]:
    """Return time and memory relative to the reference, on a CPU / on a GPU."""
    times, sizes = zip(*(_relative_on(device, name, costs) for device in _DEVICES), strict=True)
    return _both(times), _both(sizes)


def _relative_on(device: str, name: str, costs: Costs) -> tuple[str, str]:
    for (method, backbone, place), cost in costs.items():
        reference = costs.get((REFERENCE, backbone, device))
        if (method, place) == (name, device) and reference is not None:
            return f"{cost.seconds / reference.seconds:.2f}", f"{cost.mib / reference.mib:.2f}"
    return "", ""


def _both(parts: Sequence[str]) -> str:
    # A slash stays where one is missing, and so says which.
    return " / ".join(parts).strip() if any(parts) else ""


def _measured(costs: Costs) -> str:
    """Say what one stands for in the columns of costs."""
    sentences = []
    for device, circumstances in _DEVICES.items():
        parts = [
            f"`{backbone}` {cost.seconds:.3g} s and {cost.mib:.0f} MiB"
            for (method, backbone, place), cost in costs.items()
            if (method, place) == (REFERENCE, device)
        ]
        if parts:
            sentences.append(f"with {', with '.join(parts)} {circumstances}")
    if not sentences:
        return "No costs have been measured."
    return (
        f"One stands for a step of `{REFERENCE}`: {'; '.join(sentences)}. Teachers of the "
        "distillations are as large as their students there; real ones are larger.\n"
    )
