"""`lightly run`: pretrain with settings given as ``key=value``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import Parser, near, option_names, use_plugins
from lightly_core.cli.settings_words import check_words, settings_parser
from lightly_core.errors import ConfigError
from lightly_core.terminal import fold, prose_width

if TYPE_CHECKING:
    from lightly_core.engine.dry_run import Form

_EPILOG = """\
A value is read as TOML (10, 1e-3, true, [0, 1]) if it is valid, else as text without quotes.
Dots are for nested settings: optim_args.lr=0.1. The command line overrides the file.

  lightly run out=out data=images model=torchvision/resnet18 method=simclr epochs=100
  lightly run method=simclr --help

The second command shows the options of that method too.
"""

_SHORT_RUNS = """\
The defaults below are those of recipe=paper. Short runs take others, see recipe above and
`lightly run ... --dry-run`."""

_NOTHING_GIVEN = """\
no settings; out, data and model are required. For example:
  lightly run out=out/first data=path/to/images model=torchvision/resnet18 method=simclr epochs=50
  see `lightly run --help`, `lightly models` and `lightly methods`"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Run, or print the help. Return the exit code."""
    parser = make_parser()
    wants_help = [word for word in arguments if word in ("-h", "--help")]
    parsed, words = parser.parse_known_args([w for w in arguments if w not in wants_help])
    use_plugins(options)
    if wants_help:
        _print_help(parser, words)
        return 0
    from lightly_core.config.options.settings import RunConfig

    if not words and parsed.config is None:
        raise ConfigError(_NOTHING_GIVEN)
    check_words(words, option_names(parser), RunConfig)
    form = _form(parsed)
    from lightly_core.api import pretrain_from_command_line

    words = [*words, *(["profile=true"] if parsed.profile else [])]
    pretrain_from_command_line(parsed.config, words, dry_run=form, build=parsed.build)
    return 0


def _form(parsed: Namespace) -> Form | None:
    """Return what a dry run prints; None: it is a run.

    Raises:
        ConfigError: Flags contradict each other.
    """
    if not parsed.dry_run:
        for flag, given in (("json", parsed.json), ("toml", parsed.toml)):
            if given:
                raise ConfigError(f"--{flag} is for --dry-run, add it or remove --{flag}")
        if parsed.build:
            raise ConfigError("--build is for --dry-run, a run always builds its networks")
        return None
    if parsed.json and parsed.toml:
        raise ConfigError("--json and --toml are two forms of the same settings, give one of them")
    return "json" if parsed.json else "toml" if parsed.toml else "table"


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = settings_parser(
        "run",
        description="Pretrain a backbone on your images. "
        "The settings out, data and model are required.",
        epilog=_EPILOG,
        flags="[--dry-run [--json | --toml] [--build]] [--profile]",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the settings, print what the run will do as a table, and stop",
    )
    parser.add_argument(
        "--json", action="store_true", help="with --dry-run: print all resolved settings as JSON"
    )
    parser.add_argument(
        "--toml",
        action="store_true",
        help="with --dry-run: print all resolved settings as a file for --config",
    )
    parser.add_argument(
        "--build",
        action="store_true",
        help="with --dry-run: build the networks too, without values and downloads",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="print at the end what a step cost, and what to change first",
    )
    return parser


def _print_help(parser: Parser, words: Sequence[str]) -> None:
    from lightly_core.config.docs.tables import settings_help

    print(parser.format_help().rstrip())
    print(f"\nsettings:\n{settings_help().rstrip()}")
    given = dict(_key_and_value(word) for word in words if "=" in word)
    if "method" in given:
        print(f"\n{_method_help(given['method'], given.get('optim', 'auto')).rstrip()}")


def _method_help(name: str, optimizer: str) -> str:
    """Return the help of a method's options and of its defaults for optimizer and views."""
    from lightly_core.config.docs.tables import class_help
    from lightly_core.config.options.method import MethodConfig, small_recipe
    from lightly_core.config.options.optim import OPTIMIZERS
    from lightly_core.errors import PluginError
    from lightly_core.plugins.discovery import get_plugins
    from lightly_core.plugins.loading import load_config

    record = get_plugins().catalog.get("method", name)
    config = load_config(record)
    if not issubclass(config, MethodConfig):
        raise PluginError(
            f"config of {record.label}: expected a subclass of MethodConfig, got {config!r}"
            f"\n  report this to the authors of {record.owner}"
        )
    optimizer = config.optimizer if optimizer == "auto" else optimizer
    if optimizer not in OPTIMIZERS:
        guess = near(optimizer, list(OPTIMIZERS))
        raise ConfigError(
            f"unknown optimizer '{optimizer}'{guess}\n  known: auto, {', '.join(OPTIMIZERS)}"
        )
    return "\n\n".join(
        [
            "\n".join(fold(f"method={name} ({record.owner}): {record.summary}", prose_width())),
            *([_SHORT_RUNS] if small_recipe(config) else []),
            class_help(config, "method_args").rstrip(),
            class_help(config.default_transform(), "transform_args").rstrip(),
            f"optim={optimizer}",
            class_help(config.default_optimizer(optimizer), "optim_args").rstrip(),
        ]
    )


def _key_and_value(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.strip(), value.strip().strip("'\"")
