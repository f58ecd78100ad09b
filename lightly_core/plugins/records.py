"""What the catalog stores: strings that say where a thing is and what it is for."""

from __future__ import annotations

import re
from typing import Literal, get_args

from attrs import field, frozen

from lightly_core.errors import PluginError
from lightly_core.plugins.requirements import requirement_name

Kind = Literal["method", "models", "transform", "logger"]
KINDS: tuple[Kind, ...] = get_args(Kind)

State = Literal["loaded", "blocked", "incompatible", "failed"]

#: How a kind is called in a sentence.
KIND_NAMES: dict[Kind, str] = {
    "method": "method",
    "models": "model library",
    "transform": "transform",
    "logger": "logger",
}

LEGAL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_IMPORT_STRING = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_FILE_STRING = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[\w.-]+")
_MODULE_ROOT = re.compile(r"[A-Za-z_]\w*")


@frozen(kw_only=True)
class Record:
    """One thing that a plugin provides.

    Attributes:
        kind: ``method``, ``models``, ``transform`` or ``logger``.
        name: What the user types; for models the part before the slash.
        target: ``package.module:Name``, imported on first use.
        summary: One line for the lists.
        config: Class of the options, ``package.module:Name``, in a module that imports no torch.
        names: Models without prefix, or ``package:file.txt`` with one name a line; None: unknown.
        wraps: Top-level modules of the classes that a model library can wrap.
        requires: Requirements that ``pip install`` understands.
        complete: Whether `names` are all; if not, the library itself decides about others.
        capabilities: Capabilities of some of a library's models, by their names in
            `lightly_core.contracts.capabilities`, each with a few models that have it.
        alias_of: Name of the same plugin's method that this is another name of.
        licence: Licence of the library behind it, where it differs from the framework's.
        plugin: Name of the entry point.
        distribution: Name of the installed distribution.
        version: Version of the distribution.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    config: str | None = None
    names: tuple[str, ...] | str | None = None
    wraps: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    complete: bool = True
    capabilities: tuple[tuple[str, tuple[str, ...]], ...] = ()
    alias_of: str | None = None
    licence: str | None = None
    # Two entry points of one distribution may register the same thing: same record.
    plugin: str = field(eq=False)
    distribution: str
    version: str = field(default="", eq=False)

    @property
    def owner(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def label(self) -> str:
        """What it is called in a message, for example ``method 'simclr'``."""
        return f"{KIND_NAMES[self.kind]} '{self.name}'"

    @property
    def qualified_name(self) -> str:
        """The name that is unique also when two plugins provide `name`."""
        return f"{self.distribution}:{self.name}"


@frozen(kw_only=True)
class PluginStatus:
    """What became of one plugin.

    Attributes:
        name: Name of the entry point.
        distribution: Name of the installed distribution.
        version: Version of the distribution.
        state: ``loaded``, ``blocked``, ``incompatible`` or ``failed``.
        provides: For example ``method simclr``.
        import_ms: Time that importing its module took, milliseconds.
        error: Why it is not loaded; a second line says what to do, where something can be done.
        traceback: Where it failed, None if nowhere.
    """

    name: str
    distribution: str
    version: str
    state: State
    provides: tuple[str, ...] = ()
    import_ms: float = 0.0
    error: str | None = None
    traceback: str | None = field(default=None, repr=False)

    @property
    def owner(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def reason(self) -> str:
        """First line of `error`."""
        return (self.error or "").partition("\n")[0]

    def as_dict(self) -> dict[str, object]:
        """Return plain data for JSON, without the traceback."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "state": self.state,
            "provides": list(self.provides),
            "import_ms": self.import_ms,
            "error": self.error,
        }


def check_record(record: Record, root: str) -> None:
    """Refuse a record that a plugin may not register.

    Args:
        record: What the plugin registered.
        root: Top-level module of the plugin's entry point; it owns nothing beyond.

    Raises:
        PluginError: Name, import strings or texts are not as they must be.
    """
    _check_texts(record)
    _check_string("target", record.target, _IMPORT_STRING, record, root)
    if record.kind != "models":
        _check_string("config", record.config, _IMPORT_STRING, record, root)
    elif isinstance(record.names, str):
        _check_string("names", record.names, _FILE_STRING, record, root)


def _check_string(
    what: str, value: str | None, pattern: re.Pattern[str], record: Record, root: str
) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        example = "package.module:Name" if pattern is _IMPORT_STRING else "package:file.txt"
        raise PluginError(f"{what} of {record.label}: expected '{example}', got {value!r}")
    if re.split(r"[.:]", value)[0] != root:
        raise PluginError(
            f"{what} of {record.label} is {value!r}, outside of the plugin's package '{root}'"
            "\n  a plugin registers its own code only"
        )


def _check_texts(record: Record) -> None:
    if not isinstance(record.name, str) or not LEGAL_NAME.fullmatch(record.name):
        raise PluginError(
            f"{KIND_NAMES[record.kind]} name {record.name!r} is not allowed"
            "\n  use lower-case letters, digits, '_', '.', '-', beginning with a letter or digit"
        )
    if not isinstance(record.summary, str) or len(record.summary.strip().splitlines()) != 1:
        raise PluginError(f"summary of {record.label}: expected one line, got {record.summary!r}")
    for root in record.wraps:
        if not _MODULE_ROOT.fullmatch(root):
            raise PluginError(
                f"wraps of {record.label}: expected top-level modules such as 'timm', got {root!r}"
            )
    for requirement in record.requires:
        try:
            requirement_name(requirement)
        except ValueError as error:
            raise PluginError(f"requires of {record.label}: {error}") from None
