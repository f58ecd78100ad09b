"""What plugins add to the catalog: records of where a thing is and what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, get_args

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
    """One thing that a plugin provides; base class of the records that a plugin adds.

    Attributes:
        name: What the user types; for models the part before the slash.
        target: ``package.module:Name``, imported on first use.
        summary: One line for the lists.
        requires: Requirements beyond the plugin's own that ``pip install`` understands, such as
            ``("timm>=1.0",)``.
        licence: Licence of the library behind it, where it is not Apache-2.0.
        plugin: Name of the entry point; set by the catalog, as all that follow.
        distribution: Name of the installed distribution.
        version: Version of the distribution.
    """

    kind: ClassVar[Kind]

    name: str
    target: str
    summary: str
    requires: tuple[str, ...] = ()
    licence: str | None = None
    # Two entry points of one distribution may register the same thing: same record.
    plugin: str = field(default="", eq=False)
    distribution: str = ""
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
class ConfiguredRecord(Record):
    """A record of something that has options.

    Attributes:
        config: Class of the options, ``package.module:Name``, in a module that imports no torch.
    """

    config: str


@frozen(kw_only=True)
class MethodRecord(ConfiguredRecord):
    """A pretraining method.

    `target` is a `lightly_core.contracts.Method`, `config` its
    `lightly_core.config.method.MethodConfig`.

    Attributes:
        alias_of: Name of the method of the same plugin that runs under this name too. Settings and
            files of a run then show that one.
    """

    kind: ClassVar[Kind] = "method"

    alias_of: str | None = None


@frozen(kw_only=True)
class ModelsRecord(Record):
    """A library of models. `target` is a `lightly_core.contracts.ModelLibrary`.

    Attributes:
        names: The models without prefix; or ``package:file.txt``, one name a line; or None if only
            the library itself knows them.
        wraps: Top-level modules whose classes it can wrap, such as ``("timm",)``.
        complete: Whether `names` are all there are. Others are then refused without importing the
            library. False where another version of it may know more, or files are names too.
        capabilities: Capabilities that some models have, by their names in
            `lightly_core.contracts.capabilities`, each with a few such models. Error messages
            suggest them.
    """

    kind: ClassVar[Kind] = "models"

    names: tuple[str, ...] | str | None
    wraps: tuple[str, ...] = ()
    complete: bool = True
    capabilities: Mapping[str, Sequence[str]] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class TransformRecord(ConfiguredRecord):
    """A transform.

    `target` is a `lightly_core.contracts.Transform`, `config` a subclass of
    `lightly_core.config.method.TransformArgs`.
    """

    kind: ClassVar[Kind] = "transform"


@frozen(kw_only=True)
class LoggerRecord(ConfiguredRecord):
    """A logger. `target` is a `lightly_core.contracts.Logger`, `config` any class of options."""

    kind: ClassVar[Kind] = "logger"


#: What a plugin may add.
RECORDS = (MethodRecord, ModelsRecord, TransformRecord, LoggerRecord)


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
    """Refuse a record that a plugin may not add.

    Args:
        record: What the plugin registered.
        root: Top-level module of the plugin's entry point; it owns nothing beyond.

    Raises:
        PluginError: Name, import strings or texts are not as they must be.
    """
    _check_texts(record)
    _check_string("target", record.target, _IMPORT_STRING, record, root)
    if isinstance(record, ConfiguredRecord):
        _check_string("config", record.config, _IMPORT_STRING, record, root)
    if isinstance(record, ModelsRecord):
        if isinstance(record.names, str):
            _check_string("names", record.names, _FILE_STRING, record, root)
        for module in record.wraps:
            if not _MODULE_ROOT.fullmatch(module):
                raise PluginError(
                    f"wraps of {record.label}: expected top-level modules such as 'timm', "
                    f"got {module!r}"
                )


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
    for what in ("requires", "wraps"):
        value = getattr(record, what, ())
        if not isinstance(value, tuple) or not all(isinstance(text, str) for text in value):
            example = f"\n  write ({value!r},)" if isinstance(value, str) else ""
            raise PluginError(
                f"{what} of {record.label}: expected a tuple of strings, got {value!r}{example}"
            )
    for requirement in record.requires:
        try:
            requirement_name(requirement)
        except ValueError as error:
            raise PluginError(f"requires of {record.label}: {error}") from None
