"""Names of models: those that a library's record lists, and error texts for unknown names."""

from __future__ import annotations

import importlib.resources
import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_core.errors import PluginError, near_names
from lightly_core.plugins.records import ModelsRecord

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog

#: Endings of files that hold weights.
_WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".onnx")


def model_names(record: ModelsRecord) -> tuple[str, ...]:
    """Return the model names that a library's record lists, without prefix.

    Empty if only the library itself knows them (``record.names`` is None).

    Raises:
        PluginError: The file of names cannot be read.
    """
    if record.names is None:
        return ()
    if isinstance(record.names, tuple):
        return record.names
    lines = (line.strip() for line in read_text(record, "names", record.names).splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def read_text(record: ModelsRecord, what: str, place: str) -> str:
    """Return the text of a file that a library ships.

    Args:
        record: The library's record.
        what: Attribute of the record, for messages.
        place: The file, as ``package:file.txt``.

    Raises:
        PluginError: The file cannot be read.
    """
    package, _, file = place.partition(":")
    try:
        return importlib.resources.files(package).joinpath(file).read_text(encoding="utf-8")
    except (ImportError, OSError, UnicodeDecodeError) as error:
        raise PluginError(
            f"{what} of {record.label} of {record.owner} cannot be read from {place}"
            f"\n  {type(error).__name__}: {error}"
        ) from error


def takes_any_size(record: ModelsRecord, name: str) -> bool:
    """Return whether a model is listed, and takes images of any size (`ModelsRecord.any_size`).

    Args:
        record: The library's record.
        name: Name of the model without prefix.
    """
    fits = any(fnmatchcase(name, pattern) for pattern in record.any_size)
    return fits and name in model_names(record)


def is_weights_file(name: str) -> bool:
    """Return whether a name ends like a file of weights."""
    return name.lower().endswith(_WEIGHTS)


def weights_as_model(name: str) -> str:
    """Return the error text for a file of weights that was given as the name of a model."""
    missing = "" if Path(name).is_file() else ", which does not exist"
    lines = [
        "expected the name of a model such as 'torchvision/resnet18', "
        f"got the file '{name}'{missing}",
        "  give the file as checkpoint=FILE, and the name of its network as model=NAME",
    ]
    config = Path(name).absolute().parent.parent / "config.json"
    try:
        model = json.loads(config.read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return "\n".join(lines)
    return "\n".join([*lines, f"  according to {config}, that is model={model}"])


def no_library(name: str, catalog: Catalog) -> str:
    """Return the error text for the name of a model without a library."""
    full_names = []
    for record in catalog.records("models"):
        try:
            names = model_names(record)
        except PluginError:
            continue  # the broken list of another library is not the subject of this message
        full_names += [f"{catalog.usable_name(record)}/{model}" for model in names]
    same = [full for full in full_names if full.rpartition("/")[2] == name.lower()]
    libraries = ", ".join(catalog.usable_names("models")) or "none is installed"
    guess = " or ".join(f"'{full}'" for full in same[:3] or near_names(name, full_names))
    lines = [f"expected a model as 'library/name', got '{name}'"]
    lines += [f"  did you mean {guess}?"] if guess else []
    return "\n".join([*lines, f"  known libraries: {libraries}"])
