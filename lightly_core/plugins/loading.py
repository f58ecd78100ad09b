"""From a record to the thing itself; the only place that imports what plugins point to."""

from __future__ import annotations

import importlib
import importlib.resources
import json
from collections.abc import Iterable
from pathlib import Path

from lightly_core.errors import PluginError, UnknownModelError
from lightly_core.plugins.catalog import Catalog, close_names
from lightly_core.plugins.records import Record
from lightly_core.plugins.requirements import missing

#: Endings of files that hold weights.
_WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".onnx")


def load_target(record: Record) -> object:
    """Import what a record stands for; this may import torch.

    Raises:
        PluginError: A requirement is missing, or the import fails.
    """
    _check_requirements(record)
    return _load(record, record.target, "target")


def load_config(record: Record) -> type:
    """Import the class of a record's options; this imports no torch.

    Raises:
        PluginError: The record has no options, or the import fails.
    """
    if record.config is None:
        raise PluginError(f"{record.label} of {record.owner} has no options")
    loaded = _load(record, record.config, "config")
    if not isinstance(loaded, type):
        raise PluginError(
            f"config of {record.label} of {record.owner}: expected a class at {record.config}, "
            f"got {loaded!r}"
        )
    return loaded


def missing_requirements(record: Record) -> tuple[str, ...]:
    """Return those of a record's requirements that what is installed does not meet."""
    return tuple(requirement for requirement, _ in missing(record.requires))


def model_names(record: Record) -> tuple[str, ...]:
    """Return the model names that a library's record lists, without prefix.

    Empty if only the library itself knows them (``record.names`` is None).

    Raises:
        PluginError: The file of names cannot be read.
    """
    if record.names is None:
        return ()
    if isinstance(record.names, tuple):
        return record.names
    package, _, file = record.names.partition(":")
    try:
        text = importlib.resources.files(package).joinpath(file).read_text(encoding="utf-8")
    except (ImportError, OSError, UnicodeDecodeError) as error:
        raise PluginError(
            f"names of {record.label} of {record.owner} cannot be read from {record.names}"
            f"\n  {type(error).__name__}: {error}"
        ) from error
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def split_model_name(catalog: Catalog, name: str) -> tuple[Record, str]:
    """Split ``library/name`` and look the library up.

    Names are checked against what the plugin lists; where that list is not complete, any passes.

    Args:
        catalog: What is installed.
        name: As the user gave it.

    Returns:
        The library's record, and the model's name without prefix.

    Raises:
        UnknownModelError: No slash, or nobody provides the library or the model.
        PluginError: More than one plugin provides the library.
    """
    prefix, slash, model = name.partition("/")
    try:
        if not (prefix and slash and model):
            raise UnknownModelError(_no_prefix(catalog, name))
        record = catalog.get("models", prefix)
    except UnknownModelError:
        if not name.lower().endswith(_WEIGHTS):
            raise
        raise UnknownModelError(_file_of_weights(name)) from None
    known = model_names(record)
    if record.names is None or not record.complete or model in known:
        return record, model
    near = close_names(model, known)
    second = f"  did you mean {near}?\n" if near else ""
    raise UnknownModelError(
        f"model library '{prefix}' has no model '{model}'\n{second}"
        f"  see `lightly models '{prefix}/*'` for all {len(known)}"
    )


def record_for_module_roots(catalog: Catalog, roots: Iterable[str]) -> Record | None:
    """Find the library that can wrap a module, without importing any plugin.

    Args:
        catalog: What is installed.
        roots: Modules of the classes in the module's method resolution order, in this order;
            their first dotted part counts.

    Raises:
        PluginError: More than one library wraps the first root that any does.
    """
    records = catalog.records("models")
    for root in roots:
        first_part = root.partition(".")[0]
        found = [record for record in records if first_part in record.wraps]
        if len(found) > 1:
            owners = " and ".join(f"{record.label} of {record.owner}" for record in found)
            blocked = " or ".join(f"--no-plugin {record.distribution}" for record in found)
            raise PluginError(f"modules of '{first_part}' are wrapped by {owners}\n  use {blocked}")
        if found:
            return found[0]
    return None


def _check_requirements(record: Record) -> None:
    lacking = missing(record.requires)
    if not lacking:
        return
    told = " and ".join(
        f"{requirement}, which is not installed"
        if version is None
        else f"{requirement}, but {version} is installed"
        for requirement, version in lacking
    )
    install = " ".join(f"'{requirement}'" for requirement, _ in lacking)
    raise PluginError(f"{record.label} needs {told}\n  pip install {install}")


def _load(record: Record, import_string: str, what: str) -> object:
    module_name, _, attribute = import_string.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{what} {import_string} of {record.label} cannot be imported"
            f"\n  {type(error).__name__}: {error}"
            f"\n  tell the authors of {record.owner}, or reinstall it"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise PluginError(
            f"{what} {import_string} of {record.label}: '{module_name}' has no '{attribute}'"
            f"\n  tell the authors of {record.owner}"
        ) from None


def _file_of_weights(name: str) -> str:
    there = "" if Path(name).is_file() else ", which does not exist"
    lines = [
        "expected the name of a model such as 'torchvision/resnet18', "
        f"got the file '{name}'{there}",
        "  give the file as checkpoint=FILE, and as model= the network whose weights it holds",
    ]
    config = Path(name).absolute().parent.parent / "config.json"
    try:
        model = json.loads(config.read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return "\n".join(lines)
    return "\n".join([*lines, f"  {config} says that this is model={model}"])


def _no_prefix(catalog: Catalog, name: str) -> str:
    full_names = []
    for record in catalog.records("models"):
        try:
            names = model_names(record)
        except PluginError:
            continue  # Another library's broken list is not what this message is about.
        full_names += [f"{catalog.usable_name(record)}/{model}" for model in names]
    same = [full for full in full_names if full.rpartition("/")[2] == name.lower()]
    libraries = ", ".join(catalog.usable_names("models")) or "none is installed"
    guess = " or ".join(f"'{full}'" for full in same[:3]) or close_names(name, full_names)
    lines = [f"expected a model as 'library/name', got '{name}'"]
    lines += [f"  did you mean {guess}?"] if guess else []
    return "\n".join([*lines, f"  known libraries: {libraries}"])
