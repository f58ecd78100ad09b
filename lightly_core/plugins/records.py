"""Records that plugins add to the catalog: a name, an import string and a summary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, get_args

from attrs import field, frozen

from lightly_core.errors import PluginError
from lightly_core.plugins.requirements import requirement_name

Kind = Literal["method", "models", "transform", "logger", "format", "source", "launcher"]
KINDS: tuple[Kind, ...] = get_args(Kind)

State = Literal["loaded", "blocked", "incompatible", "failed"]

#: Name of a kind in messages.
KIND_NAMES: dict[Kind, str] = {
    "method": "method",
    "models": "model library",
    "transform": "transform",
    "logger": "logger",
    "format": "export format",
    "source": "data source",
    "launcher": "launcher",
}

LEGAL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_IMPORT_STRING = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_FILE_STRING = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[\w.-]+")
#: One letter is a drive of Windows.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
_MODULE_ROOT = re.compile(r"[A-Za-z_]\w*")


@frozen(kw_only=True)
class Record:
    """Base class of the records that a plugin adds to the catalog.

    Attributes:
        name: Name that the user types; for models the part before the slash.
        target: ``package.module:Name``, imported on first use.
        summary: One line for the lists.
        requires: Requirements beyond those of the plugin, as for ``pip install``, such as
            ``("timm>=1.0",)``.
        licence: Licence of the library that it uses, if that is not Apache-2.0.
        plugin: Name of the entry point. The catalog sets it and the following attributes.
        distribution: Name of the installed distribution.
        version: Version of the distribution.
    """

    kind: ClassVar[Kind]

    name: str
    target: str
    summary: str
    requires: tuple[str, ...] = ()
    licence: str | None = None
    # Two entry points of a distribution may add equal records, so this is not compared.
    plugin: str = field(default="", eq=False)
    distribution: str = ""
    version: str = field(default="", eq=False)

    @property
    def owner(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def label(self) -> str:
        """Kind and name for messages, for example ``method 'simclr'``."""
        return f"{KIND_NAMES[self.kind]} '{self.name}'"

    @property
    def qualified_name(self) -> str:
        """A name that is unique even if two plugins provide `name`."""
        return f"{self.distribution}:{self.name}"


@frozen(kw_only=True)
class ConfiguredRecord(Record):
    """Base class of records with an option class.

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
        alias_of: The method of the same plugin for which this is another name. Settings and
            files of a run then show the method's own name.
    """

    kind: ClassVar[Kind] = "method"

    alias_of: str | None = None


@frozen(kw_only=True)
class ModelsRecord(Record):
    """A library of models. `target` is a `lightly_core.contracts.ModelLibrary`.

    Attributes:
        names: Names of the models without prefix; or ``package:file.txt``, a file with one name per
            line; or None if only the library itself knows them.
        wraps: Top-level modules whose classes it can wrap, such as ``("timm",)``.
        complete: Whether `names` has all models. Other names are then refused without importing the
            library. False if another version may have more, or if names of files are accepted too.
        capabilities: Capabilities that some models have, by their names in
            `lightly_core.contracts.capabilities`, each with a few such models. Error messages
            suggest them.
        any_size: Models that take images of every size from 32 pixels a side, with three channels,
            as patterns of `fnmatch`. `lightly run --dry-run` does not build them.
        facts: ``package:file.csv``, a file with sizes and families for `lightly models`, see
            `lightly_core.plugins.model_facts`. None: they are not known.
        weights: Pairs of a pattern of `fnmatch` and the weights that such models start from, for
            `lightly models NAME`. The first pattern that fits counts.
    """

    kind: ClassVar[Kind] = "models"

    names: tuple[str, ...] | str | None
    wraps: tuple[str, ...] = ()
    complete: bool = True
    capabilities: Mapping[str, Sequence[str]] = field(factory=dict, hash=False)
    any_size: tuple[str, ...] = ()
    facts: str | None = None
    weights: tuple[tuple[str, str], ...] = ()


@frozen(kw_only=True)
class TransformRecord(ConfiguredRecord):
    """A transform.

    `target` is a `lightly_core.contracts.Transform`, `config` a subclass of
    `lightly_core.config.method.TransformArgs`.
    """

    kind: ClassVar[Kind] = "transform"


@frozen(kw_only=True)
class LoggerRecord(ConfiguredRecord):
    """A logger. `target` is a `lightly_core.contracts.Logger`, `config` any option class."""

    kind: ClassVar[Kind] = "logger"


#: What `lightly export` can write of a network, see `lightly_core.contracts.ExportedNetwork`.
PARTS = ("model", "wrapped_model", "embedding_model")


@frozen(kw_only=True)
class FormatRecord(Record):
    """A format of `lightly export`. `target` is a `lightly_core.contracts.ExportFormat`.

    Attributes:
        suffixes: Endings of its files, the usual one first, such as ``(".onnx",)``. Empty: the
            format is a folder.
        parts: Parts of a network that it can hold, of `PARTS`; the first one is the default.
    """

    kind: ClassVar[Kind] = "format"

    suffixes: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS

    @property
    def is_folder(self) -> bool:
        """Whether the format is a folder."""
        return not self.suffixes


@frozen(kw_only=True)
class SourceRecord(ConfiguredRecord):
    """A kind of data source, for texts of the setting `data` such as ``wds:shards/000.tar``.

    `target` is a `lightly_core.contracts.SourceLibrary`, `config` any option class. Its options
    are written after the text, as in ``wds:shards/000.tar?window=2000``.

    Attributes:
        check: Function ``package.module:name`` in a module that imports nothing heavy. It gets the
            places and the options, as `SourceLibrary.open`, and returns their problems as texts. It
            uses no network.
        schemes: Schemes that it opens, such as ``("wds",)`` or ``("s3", "gs")``.
        prefix: Whether a scheme is a prefix that is removed (``wds:``), instead of the beginning
            of a URL (``s3://``).
        suffixes: Endings of local files that it opens without a scheme, such as ``(".tar",)``.
    """

    kind: ClassVar[Kind] = "source"

    check: str
    schemes: tuple[str, ...]
    prefix: bool = True
    suffixes: tuple[str, ...] = ()


@frozen(kw_only=True)
class LauncherRecord(ConfiguredRecord):
    """A way to run the rows of a suite.

    `target` is a `lightly_core.contracts.Launcher`, `config` any option class.

    Attributes:
        check: Function ``package.module:name`` in a module that imports nothing heavy. It gets the
            options, and returns their problems on this machine as texts. It uses no network. None:
            there is nothing to check.
    """

    kind: ClassVar[Kind] = "launcher"

    check: str | None = None


#: Records that a plugin may add.
RECORDS = (
    *(MethodRecord, ModelsRecord, TransformRecord, LoggerRecord, FormatRecord, SourceRecord),
    LauncherRecord,
)


@frozen(kw_only=True)
class PluginStatus:
    """State of a plugin after discovery.

    Attributes:
        name: Name of the entry point.
        distribution: Name of the installed distribution.
        version: Version of the distribution.
        state: ``loaded``, ``blocked``, ``incompatible`` or ``failed``.
        provides: Kind and name of its records, for example ``method simclr``.
        import_ms: Time to import its module, in milliseconds.
        error: Why it is not loaded. Further lines give the remedy, if there is one.
        traceback: Traceback of the failure; None: there is none.
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
    """Raise an error for a record that is not valid.

    Args:
        record: Record that the plugin adds.
        root: Top-level module of the plugin's entry point. Import strings must start with it.

    Raises:
        PluginError: The name, an import string or a text is not valid.
    """
    _check_texts(record)
    _check_string("target", record.target, _IMPORT_STRING, record, root)
    if isinstance(record, ConfiguredRecord):
        _check_string("config", record.config, _IMPORT_STRING, record, root)
    if isinstance(record, ModelsRecord):
        if isinstance(record.names, str):
            _check_string("names", record.names, _FILE_STRING, record, root)
        if record.facts is not None:
            _check_string("facts", record.facts, _FILE_STRING, record, root)
        for module in record.wraps:
            if not _MODULE_ROOT.fullmatch(module):
                raise PluginError(
                    f"wraps of {record.label}: expected top-level modules such as 'timm', "
                    f"got {module!r}"
                )
    if isinstance(record, FormatRecord):
        _check_format(record)
    if isinstance(record, LauncherRecord) and record.check is not None:
        _check_string("check", record.check, _IMPORT_STRING, record, root)
    if isinstance(record, SourceRecord):
        _check_string("check", record.check, _IMPORT_STRING, record, root)
        _check_suffixes(record)
        if not record.schemes or not all(map(_SCHEME.fullmatch, record.schemes)):
            raise PluginError(
                f"schemes of {record.label}: expected some of two letters or more such as 's3' in "
                f"lower case, got {record.schemes!r}"
            )


def _check_suffixes(record: FormatRecord | SourceRecord) -> None:
    if not all(re.fullmatch(r"(\.[a-z0-9]+)+", suffix) for suffix in record.suffixes):
        raise PluginError(
            f"suffixes of {record.label}: expected endings such as '.onnx' in lower case, "
            f"got {record.suffixes!r}"
        )


def _check_format(record: FormatRecord) -> None:
    _check_suffixes(record)
    if not record.parts or not set(record.parts) <= set(PARTS):
        raise PluginError(
            f"parts of {record.label}: expected some of {', '.join(PARTS)}, got {record.parts!r}"
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
            "\n  a plugin can register its own code only"
        )


def _check_texts(record: Record) -> None:
    if not isinstance(record.name, str) or not LEGAL_NAME.fullmatch(record.name):
        raise PluginError(
            f"{KIND_NAMES[record.kind]} name {record.name!r} is not allowed"
            "\n  use lower-case letters, digits, '_', '.', '-', starting with a letter or digit"
        )
    if not isinstance(record.summary, str) or len(record.summary.strip().splitlines()) != 1:
        raise PluginError(f"summary of {record.label}: expected one line, got {record.summary!r}")
    for what in ("requires", "wraps", "any_size", "suffixes", "parts", "schemes"):
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
