"""`docs/methods.md`: one table of all installed methods, from their option classes.

What a step costs is measured by `examples/method_costs.py`, which writes `docs/method-costs.csv`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from attrs import define

from lightly_core.config.method import MethodCard, MethodConfig
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.records import Record

#: What the others are compared with.
REFERENCE = "simclr"

_HEAD = """# Methods

Made from the option classes of the plugins, and from what `examples/method_costs.py` has
measured, by `python -m lightly_core.config.docs`; do not edit this page.

`lightly run method=NAME --help` lists the options of a method. What each has been seen to learn
is in [benchmarks.md](benchmarks.md).

- **views**: global views of an image and, behind the plus, small ones, by default.
- **needs**: what it asks of the network. Patch tokens are those of vision transformers.
- **teacher**: `average` is a moving average of the student, a second copy of the network;
  `frozen` is a trained network.
- **keeps**: what lives on from batch to batch beside the teacher.
- **step**, **memory**: processor time of a step and growth of the process's memory, relative to
  `simclr` on the same network, each method with its own default heads and views. Times of two
  runs differ by up to a third, so look at the order of magnitude.
"""

_COLUMNS = ("method", "paper", "views", "needs", "teacher", "keeps", "step", "memory", "when")


@define(frozen=True)
class Cost:
    """What a step of a method was measured to need.

    Attributes:
        backbone: The network.
        seconds: Of one step.
        mib: Growth of the process's memory.
    """

    backbone: str
    seconds: float
    mib: float


def read_costs(file: Path) -> dict[tuple[str, str], Cost]:
    """Read what `examples/method_costs.py` wrote, by method and network; empty without a file."""
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {
        (row["method"], row["backbone"]): Cost(
            row["backbone"], float(row["seconds"]), float(row["mib"])
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


def _by_distribution() -> Mapping[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in get_plugins().catalog.records("method"):
        if record.alias_of is None:
            groups.setdefault(record.distribution, []).append(record)
    return groups


def _cells(
    name: str,
    config: type[MethodConfig],
    card: MethodCard,
    costs: Mapping[tuple[str, str], Cost],
) -> tuple[str, ...]:
    address = card.url or f"https://arxiv.org/abs/{card.arxiv}"
    step, memory = _relative(name, costs)
    return (
        f"`{name}`",
        f"[{card.paper}]({address})",
        _views(config),
        card.needs,
        "" if card.teacher == "none" else card.teacher,
        card.memory,
        step,
        memory,
        card.use,
    )


def _views(config: type[MethodConfig]) -> str:
    transform = config.default_transform()
    num_local = len(transform.view_specs()) - transform.num_views
    return f"{transform.num_views} + {num_local}" if num_local else str(transform.num_views)


def _relative(name: str, costs: Mapping[tuple[str, str], Cost]) -> tuple[str, str]:
    for (method, backbone), cost in costs.items():
        reference = costs.get((REFERENCE, backbone))
        if method == name and reference is not None:
            return f"{cost.seconds / reference.seconds:.2f}", f"{cost.mib / reference.mib:.2f}"
    return "", ""


def _measured(costs: Mapping[tuple[str, str], Cost]) -> str:
    """Say what one stands for in the columns of costs."""
    parts = [
        f"`{backbone}` {cost.seconds:.2f} s and {cost.mib:.0f} MiB"
        for (method, backbone), cost in costs.items()
        if method == REFERENCE
    ]
    if not parts:
        return "No costs have been measured."
    return (
        f"One stands for a step of `{REFERENCE}`: with {', with '.join(parts)} (32 images of 96 "
        "pixels, small views of 48, one CPU core, single precision). Teachers of the distillations "
        "are as large as their students there; real ones are larger.\n"
    )
