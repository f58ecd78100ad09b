"""Facts about models that are known without importing their library: size, family, capabilities.

A library may ship them in a CSV file, which `tools/model_facts.py` writes. A row is about a
network, and holds for its name with any weights, such as ``resnet18.a1_in1k`` and ``yolo11n.pt``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from attrs import frozen

from lightly_core.errors import PluginError
from lightly_core.plugins.model_names import read_text
from lightly_core.plugins.records import ModelsRecord

#: Columns of the file.
COLUMNS = ("name", "family", "network", "parameters", "feature_dim", "capabilities")
#: Name of the capability that `ModelsRecord.any_size` declares. It is not in the file.
ANY_SIZE = "any_size"
#: Texts for users by the names of capabilities.
CAPABILITIES = {
    "tokens": "patch tokens",
    "multi_scale": "maps of several strides",
    ANY_SIZE: "any size",
    "activation_checkpointing": "activation checkpointing",
}
#: Family of models without facts.
OTHER = "other"


@frozen
class ModelFacts:
    """What is known of a model.

    Attributes:
        family: Family in its library.
        network: Class of the network.
        parameters: Number of parameters, with those of the classifier. None: not measured, and
            then `network` is empty.
        feature_dim: Dimension of the features; None: not measured.
        capabilities: Keys of `CAPABILITIES`.
    """

    family: str
    network: str = ""
    parameters: int | None = None
    feature_dim: int | None = None
    capabilities: tuple[str, ...] = ()


@frozen
class ModelFamily:
    """Models of one family.

    Attributes:
        name: Library and family, such as ``timm/resnet``.
        models: Names of the models, with the library.
        facts: What is known of them, by name without the library.
    """

    name: str
    models: tuple[str, ...]
    facts: Mapping[str, ModelFacts]


def read_facts(record: ModelsRecord) -> Mapping[str, ModelFacts]:
    """Return the facts about a library's networks, by name without prefix. Empty: it ships none.

    Raises:
        PluginError: The file cannot be read.
    """
    if record.facts is None:
        return {}
    rows = csv.DictReader(read_text(record, "facts", record.facts).splitlines())
    try:
        return {row["name"]: _facts(record, row) for row in rows}
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise PluginError(
            f"facts of {record.label} of {record.owner} in {record.facts} are not valid: expected "
            f"the columns {', '.join(COLUMNS)}\n  {type(error).__name__}: {error}"
        ) from error


def _facts(record: ModelsRecord, row: Mapping[str, str]) -> ModelFacts:
    parameters, dim = row["parameters"], row["feature_dim"]
    fits = any(fnmatchcase(row["name"], pattern) for pattern in record.any_size)
    return ModelFacts(
        row["family"],
        row["network"],
        int(parameters) if parameters else None,
        int(dim) if dim else None,
        (*row["capabilities"].split(), *([ANY_SIZE] if fits else [])),
    )


def facts_of(name: str, facts: Mapping[str, ModelFacts]) -> ModelFacts | None:
    """Return the facts about a model, None where they are not known.

    Args:
        name: Name without prefix.
        facts: Those of `read_facts`.
    """
    return facts.get(name) or facts.get(name.partition(".")[0])


def group_by_family(
    library: str, names: Iterable[str], facts: Mapping[str, ModelFacts]
) -> list[ModelFamily]:
    """Return the families of a library, sorted. Models without facts are the last one.

    Args:
        library: Name of the library as it is typed.
        names: Names of its models, with the library.
        facts: Those of `read_facts`.
    """
    groups: dict[str, dict[str, ModelFacts | None]] = {}
    for name in names:
        found = facts_of(name.removeprefix(f"{library}/"), facts)
        groups.setdefault(found.family if found else OTHER, {})[name] = found
    return [
        ModelFamily(
            f"{library}/{family}",
            tuple(groups[family]),
            {name: found for name, found in groups[family].items() if found is not None},
        )
        for family in sorted(groups, key=lambda family: (family == OTHER, family))
    ]


def initial_weights(record: ModelsRecord, name: str) -> str:
    """Return which weights a model starts from. Empty: that is not known.

    Args:
        record: The library's record.
        name: Name without prefix.
    """
    found = (text for pattern, text in record.weights if fnmatchcase(name, pattern))
    return next(found, "")
