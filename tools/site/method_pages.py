"""Writes a page for each method, from its record, its docstrings, its options and measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lightly_core.config.docs.method_settings import method_section, other_names
from lightly_core.config.docs.method_table import COLUMNS, COSTS, Costs, method_cells, read_costs
from lightly_core.config.options.method import MethodConfig
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.records import MethodRecord
from tools.site.docstrings import explain
from tools.site.evidence import Found, parity_of, results_of
from tools.site.markdown import table_text

#: Backbones of the examples. The second is for methods that need patch tokens.
_ANY, _TOKENS = "torchvision/resnet18", "timm/vit_small_patch16_224"
#: Columns of the table of all methods that a page shows, and what they are called there.
_GLANCE = {
    "paper": "paper",
    "when": "when",
    "needs": "the backbone needs",
    "views": "views of an image",
    "teacher": "teacher",
    "keeps": "keeps between batches",
}
_TEACHERS = {"average": "an EMA of the student", "frozen": "a trained network", "": "none"}
_DEVICES = ("one CPU core", "one GPU")


def method_pages(root: Path) -> Mapping[str, str]:
    """Return the page of each method by name. Links are relative to `docs/methods`."""
    costs = read_costs(COSTS)
    records = get_plugins().catalog.records("method")
    named = [record for record in records if record.alias_of is None]
    return {record.name: _page(record, costs, root) for record in sorted(named, key=_name)}


def _name(record: MethodRecord) -> str:
    return record.name


def _page(record: MethodRecord, costs: Costs, root: Path) -> str:
    config = load_config(record)
    assert issubclass(config, MethodConfig)
    parts = [
        f"# {record.name}",
        record.summary,
        *_glance(record, config, costs),
        *_explained(record),
        *_cost(record, config, costs),
        *_parity(record.name, root),
        *_results(record.name, root),
        *_settings(record),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(record: MethodRecord, config: type[MethodConfig], costs: Costs) -> Mapping[str, str]:
    if config.card is None:
        return {}
    cells = method_cells(record.name, config, config.card, costs)
    return dict(zip(COLUMNS, cells, strict=True))


def _glance(record: MethodRecord, config: type[MethodConfig], costs: Costs) -> Iterator[str]:
    cells = dict(_cells(record, config, costs))
    cells["teacher"] = _TEACHERS.get(cells.get("teacher", ""), cells.get("teacher", ""))
    rows = ((f"**{title}**", cells[name]) for name, title in _GLANCE.items() if cells.get(name))
    plugin = f"`pip install {record.distribution}`"
    yield table_text(("", ""), iter([*rows, ("**install**", plugin)]))
    requires = config.requires
    tokens = requires.whole_patches or requires.capability == "tokens"
    model = _TOKENS if tokens else _ANY
    command = f"lightly run out=out/{record.name} data=my_images model={model} method={record.name}"
    yield f"```bash\n{command}\n```"


def _explained(record: MethodRecord) -> Iterator[str]:
    explained = explain(record.target)
    yield "## How it works"
    yield explained.about
    for name, text in explained.formulas.items():
        yield f"**`{name.rpartition('.')[2]}`.** {text}"
    yield "## Differences from the paper"
    yield explained.differences or "The docstring of the class lists none."
    yield (
        "[Parity](../parity.md#methods) lists what differs by choice, for all methods. The page of "
        f"[{record.distribution}](../../plugins/{_plugin(record)}/README.md) has more about this "
        "family."
    )


def _plugin(record: MethodRecord) -> str:
    return record.distribution.removeprefix("lightly-")


def _cost(record: MethodRecord, config: type[MethodConfig], costs: Costs) -> Iterator[str]:
    cells = _cells(record, config, costs)
    times, sizes = (_by_device(cells.get(name, "")) for name in ("step", "memory"))
    rows = [row for row in zip(_DEVICES, times, sizes, strict=True) if any(row[1:])]
    if rows:
        yield "## Cost"
        yield table_text(("a step, relative to `simclr`", "time", "memory"), iter(rows))
        yield "[All methods](../methods.md) has the conditions of the measurement."


def _by_device(cell: str) -> tuple[str, str]:
    first, _, second = cell.partition("/")
    return first.strip(), second.strip()


def _parity(name: str, root: Path) -> Iterator[str]:
    found = parity_of(name, root)
    if found:
        yield "## Compared with a reference"
        yield "The largest differences of losses and gradients, and what is accepted."
        yield from _shown(found)


def _results(name: str, root: Path) -> Iterator[str]:
    yield "## What it was seen to learn"
    found = results_of(name, root)
    if not found:
        yield "No result has been published here."
        return
    yield (
        "Small experiments, which show that the method learns and do not rank methods. The link "
        "above a table leads to its conditions."
    )
    yield from _shown(found)


def _shown(found: list[Found]) -> Iterator[str]:
    for one in found:
        yield one.link
        yield table_text(one.table.head, iter(one.table.rows))


def _settings(record: MethodRecord) -> Iterator[str]:
    section = method_section(record, other_names().get(record.name, []))
    _, _, body = section.split("\n\n", 2)  # without heading and summary
    yield "## Options and defaults"
    yield "Options are given as `method_args.NAME=VALUE`, in Python as `method_args={...}`."
    yield body.rstrip().replace("| `method_args.", "| `")
    yield (
        f"`lightly run method={record.name} --help` lists all values. "
        "[Settings](../settings.md) has those of all runs."
    )
