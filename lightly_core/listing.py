"""Functions that list the installed methods, models, export formats and plugins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Literal

from lightly_core.errors import PluginError
from lightly_core.notebook import Table
from lightly_core.plugins.discovery import PluginStatus, get_plugins
from lightly_core.plugins.loading import load_target
from lightly_core.plugins.model_names import model_names

if TYPE_CHECKING:
    from lightly_core.plugins.records import ModelsRecord


class RecordNames(Table[str]):
    """Names of records, shown with their plugins and summaries.

    Attributes:
        kind: Kind of the records.
    """

    header = ("name", "plugin", "summary")
    kind: ClassVar[Literal["method", "format"]]

    def cells(self, item: str) -> Sequence[object]:
        """Look the record up. It may be missing if its plugin is blocked by now."""
        catalog = get_plugins().catalog
        for record in catalog.records(self.kind):
            if catalog.usable_name(record) == item:
                return (item, record.owner, record.summary)
        return (item, "", "")


class MethodNames(RecordNames):
    """Names of methods."""

    kind = "method"


class FormatNames(RecordNames):
    """Names of export formats."""

    kind = "format"


class ModelNames(Table[str]):
    """Names of models, shown with their libraries."""

    header = ("library", "model")

    def cells(self, item: str) -> Sequence[object]:
        """Split the name; `model=` takes both parts with the slash between them."""
        return (item.partition("/")[0], item)


class PluginStatuses(Table[PluginStatus]):
    """States of plugins."""

    header = ("plugin", "distribution", "state", "provides")

    def cells(self, item: PluginStatus) -> Sequence[object]:
        """Return what the plugin provides, or why it does not work."""
        return (item.name, item.owner, item.state, ", ".join(item.provides) or item.reason)


def list_methods() -> list[str]:
    """Return the names that ``method=`` accepts, sorted.

    A name that two plugins provide is listed in its qualified forms, ``distribution:name``.
    """
    return MethodNames(get_plugins().catalog.usable_names("method"))


def list_models(pattern: str | None = None, *, live: bool = False) -> list[str]:
    """Return the models that ``model=`` accepts, as ``library/name``.

    Args:
        pattern: Return only names that match, in upper or lower case. A pattern with ``*``, ``?``
            or ``[...]`` must match the whole name, with or without its library. Other text must be
            a part of the name: the name itself comes first, then those that begin with it.
        live: Import the libraries and list their own names instead of those in the plugins' lists.

    Raises:
        PluginError: A plugin's list, or with `live` a library, cannot be read.
    """
    catalog = get_plugins().catalog
    names: list[str] = []
    for record in catalog.records("models"):
        names += library_models(catalog.usable_name(record), record, live=live)
    return ModelNames(matching(names, pattern))


def list_formats() -> list[str]:
    """Return the names that ``format=`` of `lightly_core.export` accepts, sorted."""
    return FormatNames(get_plugins().catalog.usable_names("format"))


def list_plugins() -> list[PluginStatus]:
    """Return the status of each installed plugin, sorted by name."""
    return PluginStatuses(get_plugins().statuses)


def library_models(prefix: str, record: ModelsRecord, *, live: bool = False) -> list[str]:
    """Return one library's models as ``prefix/name``.

    Raises:
        PluginError: The plugin's list, or with `live` the library, cannot be read.
    """
    names: Iterable[str] = _live_names(record) if live else model_names(record)
    return [f"{prefix}/{name}" for name in names]


def matching(names: Iterable[str], pattern: str | None) -> list[str]:
    """Return the names that match a pattern, as in `list_models`."""
    if pattern is None:
        return list(names)
    names, pattern = list(names), pattern.lower()
    if any(sign in pattern for sign in "*?["):
        return [
            name
            for name in names
            if fnmatchcase(name.lower(), pattern)
            or fnmatchcase(name.lower().partition("/")[2], pattern)
        ]
    found = [name for name in names if pattern in name.lower()]
    return sorted(found, key=lambda name: _distance(name.lower(), pattern))


def _distance(name: str, pattern: str) -> int:
    """Return 0 for the name itself, 1 for a name that begins with the pattern, else 2."""
    parts = (name, name.partition("/")[2])
    return 0 if pattern in parts else 1 if any(p.startswith(pattern) for p in parts) else 2


def _live_names(record: ModelsRecord) -> list[str]:
    from lightly_core.contracts import ModelLibrary

    library = load_target(record)
    if not (isinstance(library, type) and issubclass(library, ModelLibrary)):
        raise PluginError(
            f"target {record.target} of {record.label}: expected a subclass of ModelLibrary, "
            f"got {library!r}\n  report this to the authors of {record.owner}"
        )
    return list(library().names())
