"""Finds what may follow on a command line of `lightly`. Nothing here imports torch."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from lightly_core.cli.main import ALIASES, COMMANDS
from lightly_core.cli.parser import Parser, global_options
from lightly_core.errors import LightlyError

if TYPE_CHECKING:
    import argparse

    from lightly_core.plugins.catalog import Catalog

#: Module and name of the option class of each command that takes ``key=value``.
SETTINGS = {
    "run": "lightly_core.config.options.settings:RunConfig",
    "embed": "lightly_core.config.options.embed:EmbedConfig",
    "evaluate": "lightly_core.config.options.evaluate:EvaluateConfig",
    "export": "lightly_core.config.options.export:ExportConfig",
    "benchmark": "lightly_core.config.options.suite:SuiteConfig",
    "advise": "lightly_core.config.options.advise:AdviseConfig",
    "doctor": "lightly_core.config.options.doctor:DoctorConfig",
    "extract-frames": "lightly_core.config.options.extract:ExtractConfig",
    "runs": "lightly_core.config.options.runs:RunsConfig",
}
#: Commands whose other words are files or folders.
_PATHS = ("benchmark", "extract-frames", "report", "runs", "send")


@frozen
class Candidate:
    """What may follow.

    Attributes:
        text: The whole word.
        help: One line about it.
        is_whole: Whether the word ends here. If not, more is to be typed, such as a value.
    """

    text: str
    help: str = ""
    is_whole: bool = True


def find_candidates(words: Sequence[str], current: str) -> list[Candidate]:
    """Return what may follow.

    Args:
        words: The words between the program and the current one.
        current: The current word up to the cursor.
    """
    try:
        return list(_find(words, current))
    except LightlyError:
        return []  # a wrong word before the cursor; the command itself explains it


def _find(words: Sequence[str], current: str) -> Iterable[Candidate]:
    own = list(_without_global_options(words))
    previous = words[-1] if words else ""
    if previous == "--no-plugin":
        return _starting(_plugins(), current)
    if not own:
        if current.startswith("-"):
            return _flags(global_options(), current)
        return _starting((Candidate(name, text) for name, text in COMMANDS.items()), current)
    name = ALIASES.get(own[0], (own[0], False))[0]
    if name not in COMMANDS:
        return []
    if name == "plugin" and len(own) > 1:
        return _plugin_candidates(own[1], previous, current)
    module = importlib.import_module(f"lightly_core.cli.{name.replace('-', '_')}")
    parser: Parser = module.make_parser()
    action = _taking(parser, previous)
    if action is not None:
        return _values(action.dest, current)
    if current.startswith("-"):
        return _flags(parser, current)
    return _words_of(name, own[1:], current)


def _without_global_options(words: Sequence[str]) -> Iterator[str]:
    options = ("--traceback", "--strict-plugins", "--no-plugin")
    for previous, word in zip(["", *words], words, strict=False):
        if previous != "--no-plugin" and word not in options:
            yield word


def _words_of(name: str, words: Sequence[str], current: str) -> Iterable[Candidate]:
    """Return the names, files and settings that a command takes."""
    found: list[Candidate] = []
    if name == "plugin":
        from lightly_core.cli.plugin import COMMANDS as COMMANDS_OF_PLUGIN

        return _starting((Candidate(*pair) for pair in COMMANDS_OF_PLUGIN.items()), current)
    if name == "completion":
        from lightly_core.cli.completion_scripts import SCRIPTS

        known = [*SCRIPTS] if words else [*SCRIPTS, "install"]
        return _starting(map(Candidate, known), current)
    if name in ("methods", "models", "plugins"):
        lists: dict[str, Callable[[str], Iterable[Candidate]]] = {
            "methods": lambda text: _starting(methods(), text),
            "models": models,
            "plugins": lambda text: _starting(_plugins(), text),
        }
        return lists[name](current) if not any(w for w in words if w[0] != "-") else []
    if name in _PATHS and "=" not in current:
        found += paths(current)
    if name in SETTINGS or name == "send":
        from lightly_core.cli.setting_candidates import setting_candidates

        found += setting_candidates(name, words, current)
    if name == "report":
        found += _starting([Candidate("out=", "the HTML file", is_whole=False)], current)
    return found


def _plugin_candidates(command: str, previous: str, current: str) -> Iterable[Candidate]:
    from lightly_core.cli import plugin, plugin_new

    makers = {"check": plugin.make_check_parser, "new": plugin_new.make_parser}
    if command not in makers:
        return []
    parser = makers[command]()
    action = _taking(parser, previous)
    if action is not None:
        return _values(action.dest, current)
    if current.startswith("-"):
        return _flags(parser, current)
    return _starting(_plugins(), current) if command == "check" else []


# --------------------------------------------------------------------------- options


def _flags(parser: argparse.ArgumentParser, current: str) -> Iterator[Candidate]:
    known = [
        Candidate(flag, action.help or "")
        for action in parser._actions
        for flag in action.option_strings
        if flag.startswith("--")
    ]
    if not any(candidate.text == "--help" for candidate in known):
        known.append(Candidate("--help", "show the help of a command"))
    return _starting(known, current)


def _taking(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    """Return the option that a word is, if a value follows it."""
    for action in parser._actions:
        if word in action.option_strings and action.nargs is None:
            return action
    return None


def _values(name: str, current: str) -> Iterable[Candidate]:
    """Return the values of an option."""
    if name == "model":
        return models(current)
    if name == "kind":
        from lightly_core.scaffold.new import KINDS

        return _starting(map(Candidate, KINDS), current)
    if name == "family":
        return _starting(_families(), current)
    return paths(current)


# --------------------------------------------------------------------------- names


def catalog() -> Catalog:
    """Return the names that all plugins provide."""
    from lightly_core.plugins.discovery import get_plugins

    return get_plugins().catalog


def methods() -> Iterator[Candidate]:
    """Yield the names of all methods."""
    found = catalog()
    for record in found.records("method"):
        yield Candidate(found.usable_name(record), record.summary)


def models(current: str) -> Iterator[Candidate]:
    """Yield the libraries, or after a slash the models of one whose names begin with a text.

    Names of weights, such as ``resnet18.a1_in1k``, are left out until the name of their network is
    complete.
    """
    prefix, slash, begin = current.partition("/")
    found = catalog()
    if not slash:
        for record in found.records("models"):
            name = found.usable_name(record)
            if name.startswith(prefix):
                yield Candidate(f"{name}/", record.summary, is_whole=False)
        return
    from lightly_core.plugins.model_names import model_names

    names = [name for name in model_names(found.get("models", prefix)) if name.startswith(begin)]
    networks = {name for name in names if "." not in name}
    is_complete = "." in begin or begin in networks
    for name in names:
        network, dot, _ = name.partition(".")
        if is_complete or not dot or network not in networks:
            yield Candidate(f"{prefix}/{name}")


def _families() -> Iterator[Candidate]:
    from lightly_core.plugins.model_facts import read_facts

    found = catalog()
    for record in found.records("models"):
        library = found.usable_name(record)
        for family in sorted({facts.family for facts in read_facts(record).values()}):
            yield Candidate(f"{library}/{family}")


def _plugins() -> Iterator[Candidate]:
    from lightly_core.plugins.discovery import get_plugins

    for status in get_plugins().statuses:
        yield Candidate(status.name, f"{status.owner}, {status.state}")


# --------------------------------------------------------------------------- files


def paths(current: str, before: str = "") -> Iterator[Candidate]:
    """Yield the files and folders whose paths begin with a text.

    Args:
        current: The text.
        before: What is in front of it in the same word.
    """
    folder, begin = os.path.split(current)
    try:
        entries = sorted(os.scandir(os.path.expanduser(folder) or "."), key=lambda e: e.name)
    except OSError:
        return
    for entry in entries:
        is_hidden = entry.name.startswith(".") and not begin.startswith(".")
        if entry.name.startswith(begin) and not is_hidden:
            text = f"{before}{os.path.join(folder, entry.name)}"
            is_folder = entry.is_dir()
            yield Candidate(f"{text}/" if is_folder else text, is_whole=not is_folder)


def _starting(found: Iterable[Candidate], current: str) -> Iterator[Candidate]:
    return (candidate for candidate in found if candidate.text.startswith(current))
