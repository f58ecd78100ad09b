"""The catalog: names that users type, and where the things behind them are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from attrs import frozen

from lightly_core.errors import ConfigError, PluginError, UnknownModelError
from lightly_core.plugins.published import distribution_of
from lightly_core.plugins.records import (
    KIND_NAMES,
    Kind,
    PluginStatus,
    Record,
    check_record,
)
from lightly_core.plugins.requirements import normalize

__all__ = ["Catalog", "Kind", "PluginStatus", "Record", "close_names", "named"]

#: Distribution whose names nobody else can claim.
CORE = "lightly-core"


@frozen(kw_only=True)
class _Owner:
    """The plugin whose `lightly_register` is running."""

    plugin: str
    distribution: str
    version: str
    root: str


class Catalog:
    """Records of import strings; nothing they point to is imported here.

    A plugin gets it in its `lightly_register` and calls `method`, `models`, `transform` or
    `logger` for each thing it provides.

    Attributes:
        problems: Plugins that are not loaded; errors about unknown names mention them.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[Kind, str], list[Record]] = {}
        self._owner: _Owner | None = None
        self.problems: tuple[PluginStatus, ...] = ()

    # ------------------------------------------------------------------- for plugins

    def method(
        self,
        name: str,
        *,
        target: str,
        config: str,
        summary: str,
        requires: Sequence[str] = (),
        alias_of: str | None = None,
        licence: str | None = None,
    ) -> None:
        """Register a pretraining method.

        Args:
            name: What users type after ``method=``.
            target: A `lightly_core.contracts.Method`, ``package.module:Name``.
            config: Its `lightly_core.config.method.MethodConfig`, in a module without torch.
            summary: One line for ``lightly methods``.
            requires: Requirements beyond the plugin's own, such as ``("timm>=1.0",)``.
            alias_of: The method of this plugin that runs under another name here; settings and
                files of a run then show that one.
            licence: Licence of the library behind it, where it is not Apache-2.0.

        Raises:
            PluginError: An argument is not as it must be, or the name is taken.
        """
        self._add(
            "method",
            name,
            target=target,
            config=config,
            summary=summary,
            requires=requires,
            alias_of=alias_of,
            licence=licence,
        )

    def models(
        self,
        prefix: str,
        *,
        target: str,
        names: Sequence[str] | str | None,
        wraps: Sequence[str] = (),
        requires: Sequence[str] = (),
        complete: bool = True,
        capabilities: Mapping[str, Sequence[str]] | None = None,
        summary: str,
        licence: str | None = None,
    ) -> None:
        """Register a library of models.

        Args:
            prefix: What users type before the slash in ``model=``.
            target: A `lightly_core.contracts.ModelLibrary`, ``package.module:Name``.
            names: The models without prefix; or ``package:file.txt``, one name a line; or None
                if only the library itself knows.
            wraps: Top-level modules whose classes it can wrap, such as ``("timm",)``.
            requires: Requirements beyond the plugin's own, such as ``("timm>=1.0",)``.
            complete: Whether `names` are all there are: others are refused without importing the
                library. False where another version of it may know more, or files are names too.
            capabilities: Capabilities that some models have, by their names in
                `lightly_core.contracts.capabilities`, each with a few such models, which error
                messages suggest.
            summary: One line for the lists.
            licence: Licence of the library, where it is not Apache-2.0.

        Raises:
            PluginError: An argument is not as it must be, or the prefix is taken.
        """
        self._add(
            "models",
            prefix,
            target=target,
            names=names if isinstance(names, str) or names is None else tuple(names),
            wraps=wraps,
            requires=requires,
            complete=complete,
            capabilities=tuple((key, tuple(value)) for key, value in (capabilities or {}).items()),
            summary=summary,
            licence=licence,
        )

    def transform(
        self,
        name: str,
        *,
        target: str,
        config: str,
        summary: str,
        requires: Sequence[str] = (),
        licence: str | None = None,
    ) -> None:
        """Register a transform; the arguments are those of `method`.

        `target` is a `lightly_core.contracts.Transform`.

        Raises:
            PluginError: An argument is not as it must be, or the name is taken.
        """
        self._add(
            "transform",
            name,
            target=target,
            config=config,
            summary=summary,
            requires=requires,
            licence=licence,
        )

    def logger(
        self,
        name: str,
        *,
        target: str,
        config: str,
        summary: str,
        requires: Sequence[str] = (),
        licence: str | None = None,
    ) -> None:
        """Register a logger; the arguments are those of `method`.

        `target` is a `lightly_core.contracts.Logger`.

        Raises:
            PluginError: An argument is not as it must be, or the name is taken.
        """
        self._add(
            "logger",
            name,
            target=target,
            config=config,
            summary=summary,
            requires=requires,
            licence=licence,
        )

    # ----------------------------------------------------------------- for the core

    @contextmanager
    def registering(
        self, *, plugin: str, distribution: str, version: str = "", root: str
    ) -> Iterator[None]:
        """Say whose records are added inside of the ``with`` block.

        Args:
            plugin: Name of the entry point.
            distribution: Name of the distribution.
            version: Version of the distribution.
            root: Top-level module that all import strings must lie in.
        """
        self._owner = _Owner(plugin=plugin, distribution=distribution, version=version, root=root)
        try:
            yield
        finally:
            self._owner = None

    def get(self, kind: Kind, name: str) -> Record:
        """Look up a name, or the qualified form ``distribution:name``.

        Raises:
            ConfigError: Nobody provides it (UnknownModelError for models).
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

    def records(self, kind: Kind) -> tuple[Record, ...]:
        """Return all records of a kind, sorted by name and distribution."""
        found = [r for (k, _), records in self._records.items() if k == kind for r in records]
        return tuple(sorted(found, key=lambda record: (record.name, record.distribution)))

    def packages(self) -> set[str]:
        """Return the top-level packages that all records point into."""
        return {
            record.target.partition(":")[0].partition(".")[0]
            for records in self._records.values()
            for record in records
        }

    def is_ambiguous(self, record: Record) -> bool:
        """Tell whether another plugin provides the same name."""
        return len(self._records.get((record.kind, record.name), ())) > 1

    def usable_name(self, record: Record) -> str:
        """Return what to type: the name, or the qualified name where that is ambiguous."""
        return record.qualified_name if self.is_ambiguous(record) else record.name

    def usable_names(self, kind: Kind) -> list[str]:
        """Return what can be typed for a kind, sorted."""
        return sorted(self.usable_name(record) for record in self.records(kind))

    def provided_by(self, plugin: str, distribution: str) -> tuple[Record, ...]:
        """Return what a plugin registered."""
        return tuple(
            record
            for records in self._records.values()
            for record in records
            if (record.plugin, record.distribution) == (plugin, distribution)
        )

    def discard(self, plugin: str, distribution: str | None = None) -> None:
        """Forget all records of a plugin.

        Args:
            plugin: Name of the entry point.
            distribution: Only the plugin of this distribution, where two have the same name.
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

    def _add(
        self,
        kind: Kind,
        name: str,
        *,
        target: str,
        summary: str,
        config: str | None = None,
        names: tuple[str, ...] | str | None = None,
        wraps: Sequence[str] = (),
        requires: Sequence[str] = (),
        complete: bool = True,
        capabilities: tuple[tuple[str, tuple[str, ...]], ...] = (),
        alias_of: str | None = None,
        licence: str | None = None,
    ) -> None:
        owner = self._owner
        if owner is None:
            raise PluginError(
                f"{KIND_NAMES[kind]} {name!r} registered outside of lightly_register(catalog)"
                "\n  register while that function runs; do not keep the catalog"
            )
        for what, value in (("wraps", wraps), ("requires", requires)):
            if isinstance(value, str):
                raise PluginError(
                    f"{what} of {KIND_NAMES[kind]} {name!r}: expected a tuple of strings, "
                    f"got {value!r}\n  write ({value!r},)"
                )
        record = Record(
            kind=kind,
            name=name,
            target=target,
            summary=summary,
            config=config,
            names=names,
            wraps=tuple(wraps),
            requires=tuple(requires),
            complete=complete,
            capabilities=capabilities,
            alias_of=alias_of,
            licence=licence,
            plugin=owner.plugin,
            distribution=owner.distribution,
            version=owner.version,
        )
        check_record(record, owner.root)
        self._insert(record)

    def _insert(self, record: Record) -> None:
        others = self._records.setdefault((record.kind, record.name), [])
        for other in others:
            if other == record:
                return  # The same distribution registered it before.
            if other.distribution == record.distribution:
                raise PluginError(
                    f"{record.label} is registered twice by {record.owner}, with different contents"
                )
            if other.distribution == CORE:
                # Ambiguity would let any installed package switch a built-in off.
                raise PluginError(f"{record.label} belongs to {CORE}\n  choose another name for it")
        others.append(record)

    def _unknown(self, kind: Kind, name: str) -> str:
        known = self.usable_names(kind)
        near = close_names(name, known)
        second = f"did you mean {near}?  " if near else ""
        lines = [
            f"unknown {KIND_NAMES[kind]} '{name}'",
            f"  {second}known: {', '.join(known) if known else 'none is installed'}",
        ]
        lines += [f"  {line}" for line in _problem_lines(self.problems)]
        distribution = distribution_of(kind, name)
        there = {status.distribution for status in self.problems}  # installed, but of no use
        if distribution is not None and distribution not in there:
            lines += [f"  {distribution} provides it:", f"  pip install {distribution}"]
        return "\n".join(lines)


def named(name: str, plugin: str, distribution: str) -> bool:
    """Tell whether a user's name for a plugin means this one: entry point or distribution."""
    return normalize(name) in (normalize(plugin), normalize(distribution))


def close_names(name: str, known: Sequence[str], most: int = 3) -> str:
    """Return the names that `name` may have been meant to be, quoted; empty if there are none."""
    import difflib

    near = difflib.get_close_matches(name.lower(), known, n=most)
    return " or ".join(f"'{candidate}'" for candidate in near)


def _ambiguous(records: Sequence[Record]) -> PluginError:
    first = records[0]
    option = {"method": "method=", "models": "model=", "logger": "loggers."}.get(first.kind, "")
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
