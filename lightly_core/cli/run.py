"""`lightly run`: pretrain with settings given as ``key=value``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser, command_parser, near, option_names, use_plugins
from lightly_core.errors import ConfigError

_EPILOG = """\
A value is read as TOML (10, 1e-3, true, [0, 1]); what is none is text, so paths need no quotes.
Dots nest: optim_args.lr=0.1. Settings on the command line win over those of the file.

  lightly run out=out data=images model=torchvision/resnet18 method=simclr epochs=100
  lightly run method=simclr --help      shows that method's options too
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Run, or explain how to; returns the exit code."""
    parser = _parser()
    wants_help = [word for word in arguments if word in ("-h", "--help")]
    parsed, words = parser.parse_known_args([w for w in arguments if w not in wants_help])
    use_plugins(options)
    if wants_help:
        _print_help(parser, words)
        return 0
    _check_words(words, option_names(parser))
    from lightly_core.api import pretrain_from_command_line

    pretrain_from_command_line(parsed.config, words, parsed.dry_run)
    return 0


def _parser() -> Parser:
    parser = command_parser(
        "run",
        usage="[--config FILE] [--dry-run] KEY=VALUE ...",
        description="Pretrain a backbone on your images. "
        "The settings out, data and model are required.",
        epilog=_EPILOG,
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the settings, show them resolved, and stop",
    )
    return parser


def _print_help(parser: Parser, words: Sequence[str]) -> None:
    from lightly_core.config.docs import settings_help

    print(parser.format_help().rstrip())
    print(f"\nsettings:\n{settings_help().rstrip()}")
    given = dict(_key_and_value(word) for word in words if "=" in word)
    if "method" in given:
        print(f"\n{_method_help(given['method'], given.get('optim', 'auto')).rstrip()}")


def _method_help(name: str, optimizer: str) -> str:
    """Return the text on a method's options and on its defaults for optimizer and views."""
    from lightly_core.config.docs import class_help
    from lightly_core.config.method import MethodConfig
    from lightly_core.config.optim import OPTIMIZERS
    from lightly_core.errors import PluginError
    from lightly_core.plugins.discovery import get_plugins
    from lightly_core.plugins.loading import load_config

    record = get_plugins().catalog.get("method", name)
    config = load_config(record)
    if not issubclass(config, MethodConfig):
        raise PluginError(
            f"config of {record.label}: expected a subclass of MethodConfig, got {config!r}"
            f"\n  tell the authors of {record.owner}"
        )
    optimizer = config.optimizer if optimizer == "auto" else optimizer
    if optimizer not in OPTIMIZERS:
        guess = near(optimizer, list(OPTIMIZERS))
        raise ConfigError(
            f"unknown optimizer '{optimizer}'{guess}\n  known: auto, {', '.join(OPTIMIZERS)}"
        )
    return "\n\n".join(
        [
            f"method={name} ({record.owner}): {record.summary}",
            class_help(config, "method_args").rstrip(),
            class_help(config.default_transform(), "transform_args").rstrip(),
            f"optim={optimizer}",
            class_help(config.default_optimizer(optimizer), "optim_args").rstrip(),
        ]
    )


def _check_words(words: Sequence[str], flags: Sequence[str]) -> None:
    """Refuse what is no ``key=value``, with the form in which it would be one.

    Raises:
        ConfigError: Names every wrong word.
    """
    problems = []
    taken = False
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if taken:  # It was told as the value of the option before it.
            taken = False
        elif word.startswith("-"):
            taken = "=" not in word and bool(following) and not _is_setting(following)
            problems.append(_about_option(word, following if taken else "", flags))
        elif not _is_setting(word):
            problems.append(_about_bare_word(word))
    if problems:
        raise ConfigError.of(problems)


def _is_setting(word: str) -> bool:
    return "=" in word and not word.startswith(("-", "="))


def _about_option(word: str, value: str, flags: Sequence[str]) -> str:
    """Say how to write what looks like an option; `value` is the word behind it, or empty."""
    from attrs import fields_dict

    from lightly_core.config.settings import RunConfig

    key, equals, text = word.lstrip("-").partition("=")
    key = key.replace("-", "_")
    setting = fields_dict(RunConfig).get(key.partition(".")[0])
    guess = near(word.partition("=")[0], flags)
    if setting is None and (guess or not key):
        return f"unknown option '{word}'{guess}"
    if not equals:
        text = value or ("true" if setting and setting.type in (bool, "bool") else "VALUE")
    return f"unknown option '{word}': settings have no dashes, write {key}={text}"


def _about_bare_word(word: str) -> str:
    if word.endswith(".toml"):
        return f"expected key=value, got '{word}': write --config {word}"
    return f"expected key=value, got '{word}'"


def _key_and_value(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.strip(), value.strip().strip("'\"")
