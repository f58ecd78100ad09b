"""Commands that take ``key=value``: their parser and help, and errors for other words."""

from __future__ import annotations

import argparse
import os
from argparse import Namespace
from collections.abc import Callable, Sequence

from lightly_core.cli.parser import Parser, command_parser, near, option_names, use_plugins
from lightly_core.errors import ConfigError


def run_settings_command(
    parser: Parser,
    arguments: Sequence[str],
    options: Namespace,
    *,
    config_cls: type,
    start: Callable[[str | None, Sequence[str]], object],
) -> int:
    """Print the help of a command whose settings are one option class, or start it.

    Args:
        parser: Parser of `settings_parser`.
        arguments: Arguments after the command's name.
        options: Options of all commands.
        config_cls: Option class of its settings.
        start: Called with the TOML file and the ``key=value`` words.

    Returns:
        The exit code, 0.
    """
    wants_help = [word for word in arguments if word in ("-h", "--help")]
    parsed, words = parser.parse_known_args([w for w in arguments if w not in wants_help])
    use_plugins(options)
    if wants_help:
        from lightly_core.config.docs.tables import class_help

        print(parser.format_help().rstrip())
        print(f"\nsettings:\n{class_help(config_cls).rstrip()}")
        return 0
    check_words(words, option_names(parser), config_cls)
    start(parsed.config, words)
    return 0


def settings_parser(name: str, *, description: str, epilog: str, flags: str = "") -> Parser:
    """Return the parser of a command that takes ``key=value`` and a TOML file.

    Args:
        name: Name of the command.
        description: Description of the command.
        epilog: Text below the options.
        flags: Further options, for the usage line.
    """
    usage = " ".join(part for part in ("[--config FILE]", flags, "KEY=VALUE ...") if part)
    parser = command_parser(name, usage=usage, description=description, epilog=epilog)
    parser.add_argument("--config", metavar="FILE", action=_Once, help="TOML file with settings")
    return parser


class _Once(argparse.Action):
    """Stores a value and refuses a second one. argparse itself would replace the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if before is not None:
            raise ConfigError(
                f"{option_string} is given twice: '{before}' and '{values}'; put all settings into "
                "one file, or give some as key=value"
            )
        setattr(namespace, self.dest, values)


def check_words(words: Sequence[str], flags: Sequence[str], config_cls: type) -> None:
    """Refuse words that are not ``key=value``, and suggest how to write them.

    Args:
        words: The given words.
        flags: Options of the command.
        config_cls: Option class of its settings.

    Raises:
        ConfigError: At least one word is wrong. The error names all of them.
    """
    problems = []
    is_value = False
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if is_value:  # the message about the option before it includes this word
            is_value = False
        elif word.startswith("-"):
            is_value = "=" not in word and bool(following) and not _is_setting(following)
            problems.append(_option_problem(word, following if is_value else "", flags, config_cls))
        elif not _is_setting(word):
            problems.append(_bare_word_problem(word))
    if problems:
        raise ConfigError.of(problems)


def _is_setting(word: str) -> bool:
    return "=" in word and not word.startswith(("-", "="))


def _option_problem(word: str, value: str, flags: Sequence[str], config_cls: type) -> str:
    """Return the problem with an option, and how to write it; `value` is the next word or empty."""
    from attrs import fields_dict

    key, equals, text = word.lstrip("-").partition("=")
    key = key.replace("-", "_")
    setting = fields_dict(config_cls).get(key.partition(".")[0])
    guess = near(word.partition("=")[0], flags)
    if setting is None and (guess or not key):
        return f"unknown option '{word}'{guess}"
    if not equals:
        text = value or ("true" if setting and setting.type in (bool, "bool") else "VALUE")
    return f"unknown option '{word}': settings have no dashes, write {key}={text}"


def _bare_word_problem(word: str) -> str:
    from lightly_core.config.reading.foreign_files import FORMATS

    if word.endswith(".toml"):
        return f"expected key=value, got '{word}': write --config {word}"
    kind = FORMATS.get(os.path.splitext(word)[1].lower())
    if kind is not None:
        return (
            f"expected key=value, got '{word}': it is {kind}, and settings are read from TOML; "
            f"`--config {word}` shows them in TOML"
        )
    return f"expected key=value, got '{word}'"
