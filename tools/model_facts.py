"""Writes `facts.csv` of the model libraries: family, size and capabilities of each network.

    python -m tools.model_facts
    python -m tools.model_facts --library timm --missing

Networks are built without values, so nothing is downloaded and little memory is needed. Those of
timm take about a quarter of an hour. The file is written every few networks. The program may be
stopped, and ``--missing`` continues. Networks that are not measured have a row with their family.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import cast

import torch

from lightly_core.contracts import ModelLibrary, ModelWrapper
from lightly_core.contracts.capabilities import (
    ActivationCheckpointing,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.models.without_numbers import without_numbers
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from lightly_core.plugins.model_facts import COLUMNS
from lightly_core.plugins.model_names import model_names
from lightly_core.plugins.records import ModelsRecord

#: Arguments with which a library's models have all their capabilities.
_ARGUMENTS = {"ultralytics": {"train_neck": True}}
#: Families that are measured first.
_FIRST = (
    *("resnet", "vision_transformer", "convnext", "efficientnet", "swin_transformer", "regnet"),
    *("mobilenetv3", "densenet", "eva", "deit", "mobilevit", "vgg", "maxxvit"),
)
#: Networks after which the file is written.
_EVERY = 20
_CAPABILITIES = {
    "tokens": TokenModel,
    "multi_scale": MultiScaleFeatures,
    "activation_checkpointing": ActivationCheckpointing,
}


def networks(record: ModelsRecord) -> Iterator[str]:
    """Yield a name for each network of a library that needs no weights."""
    names = model_names(record)
    if record.name == "ultralytics":
        yield from (name for name in names if name.endswith(".yaml"))
    elif record.name in ("dinov2", "dinov3"):
        yield from (name for name in names if name.endswith("-notpretrained"))
    else:
        yield from (name for name in names if "." not in name)


def names_of(library: str, network: str) -> list[str]:
    """Return the names in `facts.csv` that a network has."""
    if library == "ultralytics":
        return [network.removesuffix(".yaml")]
    return list(dict.fromkeys([network, network.removesuffix("-notpretrained")]))


def family_of(library: str, network: str) -> str:
    """Return the family of a network in its library."""
    if library == "timm":
        registry = importlib.import_module("timm.models._registry")
        return str(registry._model_to_module[network])
    if library == "ultralytics":
        return re.sub(r"^(yolov?\d+).*", r"\1", network.removesuffix(".yaml")).partition("-")[0]
    if library == "dinov3":
        return "convnext" if network.startswith("convnext") else "vit"
    if library == "dinov2":
        return "vit"
    return re.match(r"(wide_)?[a-z]+", network)[0]  # type: ignore[index]


def build(record: ModelsRecord, name: str) -> ModelWrapper:
    """Build a network without values, or with values if its constructor computes with them."""
    library = cast(type[ModelLibrary], load_target(record))()

    def create(**arguments: object) -> ModelWrapper:
        return library.create(name, num_input_channels=3, model_args=arguments)

    for arguments in (_ARGUMENTS.get(record.name, {}), {}):
        places: tuple[AbstractContextManager[object], ...] = (
            *(torch.device("meta"), without_numbers(), nullcontext()),
        )
        for empty in places:
            with suppress(Exception), empty:
                return create(**arguments)
    return create()  # raises the error


def row(record: ModelsRecord, name: str) -> list[object]:
    """Return the values of all columns but the first."""
    wrapper = build(record, name)
    module = wrapper.get_model()
    having = [text for text, kind in _CAPABILITIES.items() if isinstance(wrapper, kind)]
    return [
        family_of(record.name, name),
        type(module).__name__,
        sum(parameter.numel() for parameter in module.parameters()),
        wrapper.feature_dim(),
        " ".join(having),
    ]


def known_rows(file: Path, missing: bool) -> dict[str, list[str]]:
    """Return the measured rows of a file by name; with `missing` they are kept."""
    if not missing or not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        return {row[0]: row for row in csv.reader(lines) if row[0] != COLUMNS[0] and row[3]}


def write(file: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write the rows and their header."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def measure(record: ModelsRecord, only: str, missing: bool) -> None:
    """Write the file of a library, every few networks, so that the program can be stopped.

    A network that cannot be built is reported. Its row has the family alone.
    """
    package, _, name = str(record.facts).partition(":")
    file = Path(str(importlib.import_module(package).__file__)).parent / name
    found: dict[str, Sequence[object]] = dict(known_rows(file, missing))
    cast(type[ModelLibrary], load_target(record))().names()  # its tensors are not on meta
    all_networks = list(networks(record))
    order = {each: n for n, net in enumerate(all_networks) for each in names_of(record.name, net)}
    for network in all_networks:
        for each in names_of(record.name, network):
            found.setdefault(each, [each, family_of(record.name, network), "", "", "", ""])
    todo = [net for net in all_networks if not found[names_of(record.name, net)[0]][3]]
    for number, network in enumerate(sorted(todo, key=lambda net: _rank(record.name, net))):
        if only not in network:
            continue
        try:
            values = row(record, network)
        except Exception as error:
            print(f"{record.name}/{network}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        for each in names_of(record.name, network):
            found[each] = [each, *values]
        if number % _EVERY == 0:
            write(file, sorted(found.values(), key=lambda values: order[str(values[0])]))
    write(file, sorted(found.values(), key=lambda values: order[str(values[0])]))
    print(f"written to {file}", file=sys.stderr)


def _rank(library: str, network: str) -> int:
    """Return when a network is measured: those of the usual families come first."""
    family = family_of(library, network)
    return _FIRST.index(family) if family in _FIRST else len(_FIRST)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--library", action="append", help="only this; may be repeated")
    parser.add_argument("--only", default="", help="measure networks whose name has this text")
    parser.add_argument(
        "--missing", action="store_true", help="keep the rows that are measured already"
    )
    options = parser.parse_args(arguments)
    for record in get_plugins().catalog.records("models"):
        if record.facts is not None and record.name in (options.library or [record.name]):
            measure(record, options.only, options.missing)


if __name__ == "__main__":
    main()
