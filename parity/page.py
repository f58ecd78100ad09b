"""The page `docs/parity.md`: what was measured, and where there is nothing to measure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version

import lightly.loss

from lightly_core.plugins.discovery import get_plugins
from parity.records import Comparison, Difference

#: Methods without a comparison of their own, and why.
STATEMENTS = {
    "distillation": "another name of distillationv2",
}

#: Losses of Lightly SSL that no method of this project uses.
UNUSED = {
    "DetConBLoss": "DetCon",
    "DetConSLoss": "DetCon",
    "DirectCLRLoss": "DirectCLR",
    "IBOTPlusPlusPatchLoss": "iBOT++",
    "LeWMLoss": "LeWorldModel, for videos",
    "MACLLoss": "MACL",
    "PMSNCustomLoss": "PMSN with a prior of the user's own",
}

#: What was compared by hand, see `BY_HAND_HEAD`.
BY_HAND = {
    "facebookresearch/moco": "mocov2",
    "facebookresearch/moco-v3": "mocov3",
    "WXinlong/DenseCL": "densecl",
    "facebookresearch/simsiam": "simsiam",
    "winci-ai/resa": "resa",
    "facebookresearch/swav": "swav, swavqueue, deepclusterv2",
    "facebookresearch/barlowtwins": "barlowtwins",
    "facebookresearch/vicreg": "vicreg",
    "htdt/self-supervised": "wmse",
    "winci-ai/INTL": "intl",
    "the authors' code": "mmcr",
    "tsb0601/EMP-SSL": "emp-ssl",
    "rbalestr-lab/lejepa": "lejepa",
    "facebookresearch/dino": "dino",
    "bytedance/ibot": "ibot",
    "facebookresearch/dinov2": "dinov2",
    "facebookresearch/dinov3": "dinov3",
    "facebookresearch/msn": "msn",
    "facebookresearch/mae": "mae",
    "microsoft/SimMIM": "simmim",
    "facebookresearch/ijepa": "ijepa",
    "LightlyTrain 0.18, as a black box": "distillationv1, distillationv2, distillationv3",
}

HEAD = """# Parity

Made by `nox -s parity`; do not edit this page.

What each method computes, next to a reference. Both get the same random inputs, in float64 on the
CPU. There are two kinds of references, named in the column "equals":

- Names in backticks are of [Lightly SSL](https://github.com/lightly-ai/lightly) {version}, as
  installed from PyPI. None of its code is in this repository.
- A plain form is written for the comparison, in `parity/families`: loops over images, views and
  channels, straight from the formula.

The columns "loss" and "gradient" hold the largest absolute difference, divided by the largest
absolute entry of the reference. They are from the machine that wrote the page.
`nox -s parity -- --check` measures them again, and fails where one is above its tolerance.

- A loss is that of the method's own training step, whose backbone and heads return their input.
  Weights, temperatures and the choice of pairs are therefore compared too. Gradients are those of
  all inputs. Where the row names a part of the loss, it is that part alone.
- Training steps have a small backbone, the method's heads, copied weights and plain SGD. "loss" is
  that of the steps; "gradient" covers all gradients of each step and all weights after the last.

"""

BY_HAND_HEAD = """
## Checked once by hand

These methods were also compared with other code, on commit 25c638c: in float64, losses and
gradients differed by less than 1e-6. The repositories are no packages, and LightlyTrain has another
licence, so nothing repeats these comparisons.

| reference | methods |
|---|---|
"""

UNUSED_HEAD = """
## Losses of Lightly SSL without a counterpart

"""

COLUMNS = ("compared", "equals", "loss", "gradient", "tolerance", "differs by choice")
MEASURED = slice(3, 5)


def page(comparisons: Sequence[Comparison], differences: Sequence[Difference]) -> str:
    """Return the page.

    Raises:
        ValueError: A method, or a loss of Lightly SSL, is missing.
    """
    names = sorted(record.name for record in get_plugins().catalog.records("method"))
    by_name: dict[str, list[str]] = {name: [] for name in names}
    parts: list[str] = []
    for comparison, difference in zip(comparisons, differences, strict=True):
        by_name.get(comparison.method, parts).append(_row(comparison, difference))
    for name, text in STATEMENTS.items():
        by_name[name].append(_line(name, text, *[""] * (len(COLUMNS) - 1)))
    missing = [name for name, rows in by_name.items() if not rows]
    if missing:
        raise ValueError(f"no comparison of {', '.join(missing)}, and no statement why")
    _check_losses(comparisons)
    rows = [row for name in names for row in by_name[name]]
    return "".join(
        [
            HEAD.format(version=version("lightly")),
            "## Methods\n\n", _table("method", rows),
            "\n## Building blocks\n\n", _table("block", parts),
            BY_HAND_HEAD, *(_line(*pair) + "\n" for pair in BY_HAND.items()),
            UNUSED_HEAD, *(f"- `{name}`: {text}\n" for name, text in UNUSED.items()),
        ]
    )  # fmt: skip


def without_numbers(text: str) -> str:
    """Return a page without its measured numbers, which differ from machine to machine."""
    lines = []
    for line in text.splitlines():
        cells = line.split(" | ")
        if len(cells) == len(COLUMNS) + 1 and re.match(r"\| \S", line):
            cells[MEASURED] = ["", ""]
        lines.append(" | ".join(cells))
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Return a difference as the page and the terminal show it."""
    if value is None:
        return "-"
    return f"{value:.1e}" if value else "0"


def _table(first: str, rows: Sequence[str]) -> str:
    head = _line(first, *COLUMNS)
    return "\n".join([head, "|" + "---|" * (len(COLUMNS) + 1), *rows, ""])


def _row(comparison: Comparison, difference: Difference) -> str:
    return _line(
        comparison.method,
        comparison.what,
        comparison.equals,
        number(difference.value),
        number(difference.gradient),
        number(comparison.tolerance),
        comparison.differs,
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _check_losses(comparisons: Sequence[Comparison]) -> None:
    """Ask for a word on every loss that the installed Lightly SSL has."""
    text = " ".join(comparison.equals for comparison in comparisons)
    named = set(re.findall(r"`(\w+)`", text))
    losses = {name for name in dir(lightly.loss) if re.fullmatch(r"[A-Z]\w*Loss", name)}
    losses |= {"SIGReg", "NegativeCosineSimilarity"}
    silent = sorted(losses - named - UNUSED.keys())
    stale = sorted((UNUSED.keys() & named) | (UNUSED.keys() - losses))
    if silent or stale:
        raise ValueError(f"losses of Lightly SSL: without a word {silent}, no longer true {stale}")
