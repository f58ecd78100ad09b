"""`lightly plugin`: commands for authors of plugins."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lightly_core.cli.parser import (
    Parser,
    command_parser,
    near,
    parse_command,
    print_help,
    use_plugins,
)
from lightly_core.errors import ConfigError, LightlyError, UnknownModelError, did_you_mean
from lightly_core.terminal import definitions, fold, prose_width

if TYPE_CHECKING:
    from lightly_core.contracts import SuiteInfo
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import (
        LauncherRecord,
        LoggerRecord,
        ModelsRecord,
        PluginStatus,
        Record,
        TransformRecord,
    )
    from lightly_core.testing import Check

COMMANDS = {
    "check": "check everything that a plugin provides",
    "new": "write the package of a new plugin",
}

_CHECK_EPILOG = """\
Models are checked on random images, methods on a tiny backbone. lightly_core.testing has the same
checks as tests for pytest. Exit code: 0 if all checks pass, 1 if some fail.

  lightly plugin check torchvision --model resnet18 --model vgg11
"""


class _Group(NamedTuple):
    """Checks of one record, or the reason why there are none: skipped, or an error."""

    label: str
    checks: Sequence[Check] = ()
    skipped: str = ""
    error: Exception | None = None


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Run a sub-command. Return the exit code."""
    if arguments and arguments[0] == "check":
        return _check(arguments[1:], options)
    if arguments and arguments[0] == "new":
        from lightly_core.cli import plugin_new

        return plugin_new.main(arguments[1:])
    if "-h" in arguments or "--help" in arguments:
        print_help(make_parser())
        width = prose_width()
        print("\ncommands:", *definitions(list(COMMANDS.items()), width), sep="\n")
        print("", *fold("`lightly plugin COMMAND --help` describes a command.", width), sep="\n")
        return 0
    if not arguments:
        raise ConfigError(f"expected a command: {', '.join(COMMANDS)}\n  see `lightly plugin -h`")
    raise ConfigError(
        f"unknown command 'plugin {arguments[0]}'{near(arguments[0], list(COMMANDS))}"
        f"\n  commands are: {', '.join(COMMANDS)}; `lightly plugins` lists the installed plugins"
    )


def make_parser() -> Parser:
    """Return the parser of the command without a sub-command."""
    return command_parser(
        "plugin", usage="COMMAND ...", description="Commands for authors of plugins."
    )


def make_check_parser() -> Parser:
    """Return the parser of `lightly plugin check`."""
    parser = command_parser(
        "plugin check",
        usage="NAME [--model MODEL]...",
        description="Run the checks of everything that an installed plugin provides.",
        epilog=_CHECK_EPILOG,
    )
    parser.add_argument("name", metavar="NAME", help="name of the plugin, or of its distribution")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="model to check instead of the plugin's examples; may be repeated",
    )
    return parser


def _check(arguments: Sequence[str], options: Namespace) -> int:
    parsed = parse_command(make_check_parser(), arguments)
    if parsed is None:
        return 0
    use_plugins(options)
    from lightly_core.plugins.discovery import get_plugins

    plugins = get_plugins()
    status = _find(parsed.name, plugins.statuses)
    records = plugins.catalog.provided_by(status.name, status.distribution)
    chosen = _chosen_models(parsed.model, records, plugins.catalog) if parsed.model else {}
    passed = failed = 0
    for group in _groups(parsed.name, records, chosen, plugins.catalog):
        if group.skipped:
            print(f"skip  {group.label}: {group.skipped}", flush=True)
        if group.error is not None:
            _print_failure(f"{group.label} cannot be checked", group.error, options.traceback)
            failed += 1
        for check in group.checks:
            holds = _report(check, group.label, options.traceback)
            passed, failed = passed + holds, failed + (not holds)
    total = f"{failed} of {passed + failed} checks failed" if failed else f"{passed} checks passed"
    print(f"\n{status.name} ({status.owner}): {total}")
    return 1 if failed else 0


# ------------------------------------------------------------------- selection


def _find(name: str, statuses: Sequence[PluginStatus]) -> PluginStatus:
    """Return the plugin of this name.

    Raises:
        ConfigError: There is none, more than one, or it is blocked.
    """
    from lightly_core.plugins.catalog import named

    found = [status for status in statuses if named(name, status.name, status.distribution)]
    if not found:
        known = sorted({status.name for status in statuses})
        hint = did_you_mean(name, [*known, *(status.distribution for status in statuses)], most=3)
        raise ConfigError(
            f"unknown plugin '{name}'"
            f"\n  {f'{hint}  ' if hint else ''}installed: {', '.join(known) if known else 'none'}"
            "\n  a plugin must be installed to be checked: pip install -e FOLDER"
        )
    if len(found) > 1:
        listed = ", ".join(f"{status.name} of {status.distribution}" for status in found)
        raise ConfigError(
            f"{len(found)} plugins are called '{name}': {listed}"
            "\n  give the name of the distribution instead"
        )
    if found[0].state == "blocked":
        raise ConfigError(f"plugin '{name}' is blocked: {found[0].reason}")
    return found[0]


def _chosen_models(
    given: Sequence[str], records: Sequence[Record], catalog: Catalog
) -> dict[str, list[str]]:
    """Return the names of models without prefix, by library.

    Raises:
        ConfigError: The plugin has no such model.
    """
    from lightly_core.plugins.records import ModelsRecord

    libraries = {record.name: record for record in records if isinstance(record, ModelsRecord)}
    if not libraries:
        raise ConfigError("--model is given, but this plugin provides no models; remove it")
    chosen: dict[str, list[str]] = {}
    for full_name in given:
        prefix, _, name = full_name.partition("/")
        if prefix not in libraries or not name:
            if len(libraries) > 1:
                raise ConfigError(
                    f"--model {full_name}: expected library/name, with one of these libraries: "
                    f"{', '.join(libraries)}"
                )
            (prefix,), name = libraries, full_name
        _require_model(libraries[prefix], name, catalog)
        chosen.setdefault(prefix, []).append(name)
    return chosen


def _require_model(record: ModelsRecord, name: str, catalog: Catalog) -> None:
    from lightly_core.contracts import ModelLibrary
    from lightly_core.plugins.loading import load_target
    from lightly_core.plugins.model_names import model_names

    catalog.model(f"{catalog.usable_name(record)}/{name}")
    library = None if name in model_names(record) else load_target(record)
    if isinstance(library, type) and issubclass(library, ModelLibrary):
        try:
            with _quiet():
                library().create(name, num_input_channels=3, model_args={})
        except UnknownModelError:
            raise
        except Exception:  # the checks report it
            return


def _groups(
    name: str, records: Sequence[Record], chosen: dict[str, list[str]], catalog: Catalog
) -> Iterator[_Group]:
    from lightly_core.testing import plugin_checks

    yield _Group(f"plugin '{name}'", plugin_checks(name))
    for record in records:
        qualified = catalog.usable_name(record)
        try:
            with _quiet():
                group = _checks_of(record, qualified, chosen)
        except Exception as error:  # a plugin may raise any error
            group = _Group(record.label, error=error)
        yield group


def _checks_of(record: Record, name: str, chosen: dict[str, list[str]]) -> _Group:
    from lightly_core.plugins.records import (
        FormatRecord,
        LauncherRecord,
        LoggerRecord,
        ModelsRecord,
        SourceRecord,
        TransformRecord,
    )
    from lightly_core.testing import (
        format_checks,
        method_checks,
        model_library_checks,
        source_checks,
    )

    if isinstance(record, ModelsRecord):
        checks = model_library_checks(name, examples=chosen.get(record.name))
        return _Group(record.label, checks)
    if isinstance(record, TransformRecord):
        return _transform(record)
    if isinstance(record, LoggerRecord):
        return _logger(record)
    if isinstance(record, FormatRecord):
        return _Group(record.label, format_checks(name))
    if isinstance(record, SourceRecord):
        return _Group(record.label, source_checks(name))
    if isinstance(record, LauncherRecord):
        return _launcher(record)
    return _Group(record.label, method_checks(name))


def _transform(record: TransformRecord) -> _Group:
    from lightly_core.plugins.loading import load_config, load_target
    from lightly_core.testing import transform_checks

    transform_class, args = load_target(record), load_config(record)()
    reason = _refused(lambda: transform_class(args))  # type: ignore[operator]
    if reason:
        return _Group(record.label, skipped=reason)
    return _Group(record.label, transform_checks(transform_class, args))  # type: ignore[arg-type]


def _logger(record: LoggerRecord) -> _Group:
    from lightly_core.contracts import Logger
    from lightly_core.engine.remote import RemoteLogger
    from lightly_core.plugins.loading import load_config, load_target
    from lightly_core.testing import logger_checks, without_server

    logger_class, config = load_target(record), load_config(record)()
    if isinstance(logger_class, type) and issubclass(logger_class, RemoteLogger):
        logger_class = without_server(logger_class)

    def build(folder: Path, resume_step: int | None = None) -> Logger:
        return logger_class(config, folder, resume_step)  # type: ignore[operator,no-any-return]

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        reason = _refused(lambda: build(Path(folder)).finish("finished"))
    if reason:
        return _Group(record.label, skipped=reason)
    return _Group(record.label, logger_checks(build, build))


def _launcher(record: LauncherRecord) -> _Group:
    from lightly_core.contracts import Launcher
    from lightly_core.plugins.loading import load_check, load_config, load_target
    from lightly_core.testing import launcher_checks

    launcher_class, config = load_target(record), load_config(record)()
    if problems := load_check(record)(config):
        return _Group(record.label, skipped=f"refuses its default options: {problems[0]}")

    def build(suite: SuiteInfo) -> Launcher:
        return launcher_class(config, suite)  # type: ignore[operator,no-any-return]

    return _Group(record.label, launcher_checks(build))


def _refused(build: Callable[[], object]) -> str:
    """Return why an object cannot be built with its default options; empty: it can.

    Raises:
        Exception: It cannot be built at all, for example because its constructor does not accept
            the arguments of its contract.
    """
    try:
        build()
    except (LightlyError, OSError) as error:  # it needs an option, a file or a server
        reason = str(error).partition("\n")[0]
        return f"cannot be built from its default options: {type(error).__name__}: {reason}"
    return ""


# --------------------------------------------------------------------------------- report


def _report(check: Check, label: str, show_traceback: bool) -> bool:
    """Run a check and print its result. Return whether it passed."""
    what = f"{label}, {check.subject}" if check.subject else label
    line = f"{check.code}-{check.title} ({what})"
    try:
        with _quiet():
            check()
    except (Exception, SystemExit) as error:
        _print_failure(line, error, show_traceback)
        return False
    print(f"ok    {line}", flush=True)
    return True


def _print_failure(line: str, error: BaseException, show_traceback: bool) -> None:
    print(f"FAIL  {line}")
    text = str(error) if isinstance(error, AssertionError) else ""
    for row in (text or f"{type(error).__name__}: {error}").splitlines():
        print(f"      {row}")
    sys.stdout.flush()
    if show_traceback:
        traceback.print_exception(type(error), error, error.__traceback__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discard the output of libraries while models are built."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
