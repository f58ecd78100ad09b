"""The catalog: names that users type, and the import strings of what they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, overload

from attrs import evolve, frozen

from lightly_core.errors import (
    ConfigError,
    PluginError,
    UnknownModelError,
    did_you_mean,
    unknown_model,
)
from lightly_core.plugins.model_names import (
    is_weights_file,
    model_names,
    no_library,
    weights_as_model,
)
from lightly_core.plugins.published import distribution_of
from lightly_core.plugins.records import (
    KIND_NAMES,
    RECORDS,
    FormatRecord,
    Kind,
    LauncherRecord,
    LoggerRecord,
    MethodRecord,
    ModelsRecord,
    PluginStatus,
    Record,
    SourceRecord,
    TransformRecord,
    check_record,
)
from lightly_core.plugins.requirements import normalize

__all__ = ["Catalog", "Kind", "PluginStatus", "Record", "named"]

#: Distribution whose names no other distribution can use.
CORE = "lightly-core"


@frozen(kw_only=True)
class _Owner:
    """The plugin whose `lightly_register` is running."""

    plugin: str
    distribution: str
    version: str
    root: str


class Catalog:
    """Records with import strings. Nothing that they point to is imported here.

    A plugin gets the catalog in `lightly_register` and calls `add` for everything it provides.

    Attributes:
        problems: Plugins that are not loaded. Errors about unknown names mention them.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[Kind, str], list[Record]] = {}
        self._owner: _Owner | None = None
        self.problems: tuple[PluginStatus, ...] = ()

    # ------------------------------------------------------------------- for plugins

    def add(self, record: Record) -> None:
        """Add a record of what the plugin provides.

        Args:
            record: A `MethodRecord`, `ModelsRecord`, `TransformRecord`, `LoggerRecord`,
                `FormatRecord`, `SourceRecord` or `LauncherRecord`.

        Raises:
            PluginError: The record is not valid, or its name is taken.
        """
        owner = self._owner
        if not isinstance(record, RECORDS):
            raise PluginError(
                f"expected a {', '.join(cls.__name__ for cls in RECORDS)}, got {record!r}"
            )
        if owner is None:
            raise PluginError(
                f"{record.label} added outside of lightly_register(catalog)"
                "\n  add it while that function runs; do not keep the catalog"
            )
        check_record(record, owner.root)
        self._insert(
            evolve(
                record,
                plugin=owner.plugin,
                distribution=owner.distribution,
                version=owner.version,
            )
        )

    # ----------------------------------------------------------------- for the core

    @contextmanager
    def registering(
        self, *, plugin: str, distribution: str, version: str = "", root: str
    ) -> Iterator[None]:
        """Set the plugin whose records are added inside of the ``with`` block.

        Args:
            plugin: Name of the entry point.
            distribution: Name of the distribution.
            version: Version of the distribution.
            root: Top-level module that all import strings must start with.
        """
        self._owner = _Owner(plugin=plugin, distribution=distribution, version=version, root=root)
        try:
            yield
        finally:
            self._owner = None

    @overload
    def get(self, kind: Literal["method"], name: str) -> MethodRecord: ...
    @overload
    def get(self, kind: Literal["models"], name: str) -> ModelsRecord: ...
    @overload
    def get(self, kind: Literal["transform"], name: str) -> TransformRecord: ...
    @overload
    def get(self, kind: Literal["logger"], name: str) -> LoggerRecord: ...
    @overload
    def get(self, kind: Literal["format"], name: str) -> FormatRecord: ...
    @overload
    def get(self, kind: Literal["source"], name: str) -> SourceRecord: ...
    @overload
    def get(self, kind: Literal["launcher"], name: str) -> LauncherRecord: ...
    @overload
    def get(self, kind: Kind, name: str) -> Record: ...

    def get(self, kind: Kind, name: str) -> Record:
        """Look up a name, or the qualified form ``distribution:name``.

        Raises:
            ConfigError: No plugin provides it (UnknownModelError for models).
            PluginError: More than one plugin provides it.
        """
        owner, _, plain = name.rpartition(":")
        found = [
            record
            for record in self._records.get((kind, plain), ())
            if not owner or named(owner, record.plugin, record.distribution)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise _ambiguous(found)
        error = UnknownModelError if kind == "models" else ConfigError
        raise error(self._unknown(kind, name))

    @overload
    def records(self, kind: Literal["method"]) -> tuple[MethodRecord, ...]: ...
    @overload
    def records(self, kind: Literal["models"]) -> tuple[ModelsRecord, ...]: ...
    @overload
    def records(self, kind: Literal["format"]) -> tuple[FormatRecord, ...]: ...
    @overload
    def records(self, kind: Literal["source"]) -> tuple[SourceRecord, ...]: ...
    @overload
    def records(self, kind: Kind) -> tuple[Record, ...]: ...

    def records(self, kind: Kind) -> tuple[Record, ...]:
        """Return all records of a kind, sorted by name and distribution."""
        found = [r for (k, _), records in self._records.items() if k == kind for r in records]
        return tuple(sorted(found, key=lambda record: (record.name, record.distribution)))

    def model(self, name: str) -> tuple[ModelsRecord, str]:
        """Look up the model that ``library/name`` names.

        Names are checked against those that the plugin lists. If the list is not complete, any name
        is accepted.

        Returns:
            The library's record, and the model's name without prefix.

        Raises:
            UnknownModelError: The name has no slash, or no plugin provides the library or the
                model.
            PluginError: More than one plugin provides the library.
        """
        prefix, slash, short_name = name.partition("/")
        try:
            if not (prefix and slash and short_name):
                raise UnknownModelError(no_library(name, self))
            record = self.get("models", prefix)
        except UnknownModelError:
            if not is_weights_file(name):
                raise
            raise UnknownModelError(weights_as_model(name)) from None
        known = model_names(record)
        if record.names is None or not record.complete or short_name in known:
            return record, short_name
        raise unknown_model(
            f"model library '{prefix}'",
            short_name,
            known,
            listing=f"see `lightly models '{prefix}/*'` for all {len(known)}",
        )

    def library_of(self, modules: Iterable[str]) -> ModelsRecord | None:
        """Find the library that can wrap a module, without importing any plugin.

        Args:
            modules: Modules of the classes in its method resolution order, in this order. Only
                their first dotted part is used.

        Raises:
            PluginError: More than one library can wrap the first class that any library can wrap.
        """
        for module in modules:
            root = module.partition(".")[0]
            found = [record for record in self.records("models") if root in record.wraps]
            if len(found) > 1:
                raise _claimed_twice(f"modules of '{root}' are wrapped by", found)
            if found:
                return found[0]
        return None

    def source_of(self, word: str) -> SourceRecord | None:
        """Find the data source of a scheme such as ``s3``, or of an ending such as ``.tar``.

        Raises:
            PluginError: There is more than one.
        """
        found = [one for one in self.records("source") if word in (*one.schemes, *one.suffixes)]
        if len(found) > 1:
            raise _claimed_twice(f"'{word}' is opened by", found)
        return found[0] if found else None

    def packages(self) -> set[str]:
        """Return the top-level packages that all records point into."""
        return {
            record.target.partition(":")[0].partition(".")[0]
            for records in self._records.values()
            for record in records
        }

    def is_ambiguous(self, record: Record) -> bool:
        """Return whether another plugin provides the same name."""
        return len(self._records.get((record.kind, record.name), ())) > 1

    def usable_name(self, record: Record) -> str:
        """Return the name to type: the name, or the qualified name if that is ambiguous."""
        return record.qualified_name if self.is_ambiguous(record) else record.name

    def usable_names(self, kind: Kind) -> list[str]:
        """Return the names to type for a kind, sorted."""
        return sorted(self.usable_name(record) for record in self.records(kind))

    def provided_by(self, plugin: str, distribution: str) -> tuple[Record, ...]:
        """Return the records of a plugin."""
        return tuple(
            record
            for records in self._records.values()
            for record in records
            if (record.plugin, record.distribution) == (plugin, distribution)
        )

    def discard(self, plugin: str, distribution: str | None = None) -> None:
        """Remove all records of a plugin.

        Args:
            plugin: Name of the entry point.
            distribution: Remove only those of this distribution. None: of any.
        """
        for key, records in list(self._records.items()):
            kept = [
                record
                for record in records
                if record.plugin != plugin or distribution not in (None, record.distribution)
            ]
            if kept:
                self._records[key] = kept
            else:
                del self._records[key]

    # ----------------------------------------------------------------------- inside

    def _insert(self, record: Record) -> None:
        others = self._records.setdefault((record.kind, record.name), [])
        for other in others:
            if other == record:
                return  # The same distribution has added it before.
            if other.distribution == record.distribution:
                raise PluginError(
                    f"{record.label} is added twice by {record.owner}, with different contents"
                )
            if other.distribution == CORE:
                # Otherwise any installed package could make a built-in name ambiguous.
                raise PluginError(f"{record.label} belongs to {CORE}\n  choose another name for it")
        others.append(record)

    def _unknown(self, kind: Kind, name: str) -> str:
        known = self.usable_names(kind)
        hint = did_you_mean(name, known, most=3)
        listed = f"known: {', '.join(known) if known else 'none is installed'}"
        lines = [
            f"unknown {KIND_NAMES[kind]} '{name}'",
            f"  {hint}  {listed}" if hint else f"  {listed}",
        ]
        lines += [f"  {line}" for line in _problem_lines(self.problems)]
        distribution = distribution_of(kind, name)
        unusable = {status.distribution for status in self.problems}  # installed, but not loaded
        if distribution is not None and distribution not in unusable:
            lines += [f"  {distribution} provides it:", f"  pip install {distribution}"]
        return "\n".join(lines)


def named(name: str, plugin: str, distribution: str) -> bool:
    """Return whether `name` is the entry point or the distribution of a plugin."""
    return normalize(name) in (normalize(plugin), normalize(distribution))


def _claimed_twice(what: str, records: Sequence[Record]) -> PluginError:
    owners = " and ".join(f"{record.label} of {record.owner}" for record in records)
    blocked = " or ".join(f"--no-plugin {record.distribution}" for record in records)
    return PluginError(f"{what} {owners}\n  use {blocked}")


def _ambiguous(records: Sequence[Record]) -> PluginError:
    first = records[0]
    options = {"method": "method=", "models": "model=", "logger": "loggers.", "format": "format="}
    option = {**options, "launcher": "launcher="}.get(first.kind, "")
    qualified = " or ".join(f"{option}{record.qualified_name}" for record in records)
    blocked = " or ".join(f"--no-plugin {record.distribution}" for record in records)
    return PluginError(
        f"{first.label} is provided by {' and '.join(record.owner for record in records)}"
        f"\n  use {qualified}\n  or {blocked}"
    )


def _problem_lines(problems: Sequence[PluginStatus]) -> Iterator[str]:
    for state, what in (
        ("failed", "failed to load"),
        ("incompatible", "incompatible"),
        ("blocked", "blocked"),
    ):
        found = [status for status in problems if status.state == state]
        if not found:
            continue
        count = f"{len(found)} plugin{'s' if len(found) > 1 else ''}"
        verb = "" if state == "failed" else ("are " if len(found) > 1 else "is ")
        listed = ", ".join(f"{status.owner} ({status.reason})" for status in found)
        yield f"{count} {verb}{what}: {listed}; see `lightly plugins -v`"
