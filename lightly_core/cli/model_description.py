"""What `lightly models` says about families of models, and about one model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lightly_core.cli.describing import licence_and_requirements
from lightly_core.cli.table import print_table
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.model_facts import (
    CAPABILITIES,
    ModelFacts,
    ModelFamily,
    facts_of,
    group_by_family,
    initial_weights,
    read_facts,
)
from lightly_core.plugins.records import ModelsRecord
from lightly_core.terminal import definitions, fit, fold, prose_width

#: Each library with its models, named with the library.
Listed = Sequence[tuple[ModelsRecord, list[str]]]


def families(catalog: Catalog, listed: Listed) -> list[ModelFamily]:
    """Return the families of all libraries."""
    return [
        family
        for record, names in listed
        for family in group_by_family(catalog.usable_name(record), names, read_facts(record))
    ]


def print_families(catalog: Catalog, listed: Listed) -> None:
    """Print a table of all families, and how to list more."""
    found = families(catalog, listed)
    print_table(
        ("FAMILY", "MODELS", "PARAMETERS", "CAPABILITIES"),
        [
            (
                family.name,
                str(len(family.models)),
                _sizes(list(family.facts.values())),
                ", ".join(_capabilities(list(family.facts.values()))),
            )
            for family in found
        ],
    )
    width = prose_width()
    if any(facts.parameters is None for family in found for facts in family.facts.values()):
        print("", *fold("* Not all models of the family are measured.", width), sep="\n")
    hints = [
        ("lightly models --family NAME", "lists the models of a family"),
        ("lightly models PATTERN", "lists models by their names"),
        ("lightly models NAME", "describes a model"),
        ("lightly models --all", "lists all models"),
    ]
    print("", *definitions(hints, width), sep="\n")


def print_model(catalog: Catalog, listed: Listed, name: str) -> None:
    """Print all that is known of a model.

    Args:
        catalog: What the plugins provide.
        listed: The libraries.
        name: Full name of a model in `listed`.
    """
    record, names = next(entry for entry in listed if name in entry[1])
    short = name.partition("/")[2]
    facts = facts_of(short, read_facts(record))
    width = prose_width()
    lines = [
        *fold(f"{name} ({record.owner}): {record.summary}", width),
        *definitions([*_facts(catalog, record, facts), *_use(record, name)], width),
    ]
    others = [other for other in names if other.startswith(name) and other != name]
    if others:
        lines += fold(f"{len(others)} more names begin with it: lightly models '{name}?*'", width)
    out = f"out/{short.partition('.')[0]}"
    example = f"  lightly run out={out} data=path/to/images model={name}"
    print("\n".join([*lines, "", *fit(example, width)]))


def _facts(
    catalog: Catalog, record: ModelsRecord, facts: ModelFacts | None
) -> Iterable[tuple[str, str]]:
    if facts is None:
        yield "size", "not known without importing the library"
        return
    family = f"{catalog.usable_name(record)}/{facts.family}"
    yield "family", f"{facts.family}: lightly models --family {family}"
    if facts.parameters is None:
        yield "parameters", "not measured"
    else:
        yield "network", facts.network
        yield "parameters", f"{_count(facts.parameters)} ({facts.parameters:,})"
        yield "feature dimension", str(facts.feature_dim)
    yield "capabilities", ", ".join(_capabilities([facts])) or "none"


def _use(record: ModelsRecord, name: str) -> Iterable[tuple[str, str]]:
    short = name.partition("/")[2]
    weights = initial_weights(record, short)
    if weights:
        yield "initial weights", weights
    yield from licence_and_requirements(record)


def _capabilities(known: Sequence[ModelFacts]) -> Iterable[str]:
    """Yield the capabilities that some of the models have, and how many if it is not all."""
    for key, text in CAPABILITIES.items():
        having = sum(key in facts.capabilities for facts in known)
        if having:
            yield text if having == len(known) else f"{text} ({having} of {len(known)})"


def _sizes(known: Sequence[ModelFacts]) -> str:
    """Return the smallest and the largest number of parameters, with a star if some are missing."""
    counts = sorted(facts.parameters for facts in known if facts.parameters is not None)
    if not counts:
        return ""
    least, most = _count(counts[0]), _count(counts[-1])
    text = least if least == most else f"{least} to {most}"
    return text if len(counts) == len(known) else f"{text} *"


def _count(number: int) -> str:
    """Return a number of parameters in millions or billions, with three digits."""
    unit, letter = (1e9, "B") if number >= 999_500_000 else (1e6, "M")
    value = number / unit
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {letter}"
