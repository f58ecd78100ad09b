import importlib

import pytest

from lightly_core.cli import main, parser, plugin, plugin_new, settings_words

EVERYWHERE = {"--traceback", "--no-plugin", "--strict-plugins", "--version", "-V"}

#: All flags there are. A new one is a promise to every user: think twice, then add it here.
FLAGS = {
    "advise": {"--config", "--json"},
    "doctor": {"--config"},
    "run": {"--build", "--config", "--dry-run", "--json", "--profile", "--toml"},
    "embed": {"--config"},
    "evaluate": {"--config"},
    "extract-frames": {"--config"},
    "report": set(),
    "export": {"--config"},
    "benchmark": {"--dry-run"},
    "runs": {"--json", "--reverse"},
    "send": set(),
    "methods": {"--json"},
    "models": {"--all", "--family", "--json", "--live"},
    "formats": {"--json"},
    "plugins": {"--json", "-v", "--verbose"},
    "plugin": set(),
    "completion": set(),
    "plugin check": {"--model"},
    "plugin new": {"--kind", "--out"},
}


def test_the_commands_are_those_listed_here():
    subcommands = {f"plugin {name}" for name in plugin.COMMANDS}
    assert {*main.COMMANDS, *subcommands} == set(FLAGS)
    lists = {f"list_{name}": (name, False) for name in ("methods", "models", "plugins")}
    frames = dict.fromkeys(("extract_frames", "extract_video_frames"), ("extract-frames", False))
    names = {"pretrain": ("run", False), "train": ("run", True), **lists, **frames}
    assert names == main.ALIASES


@pytest.mark.parametrize("command", FLAGS)
def test_the_flags_are_those_listed_here(command, monkeypatch, run):
    made = []
    real = parser.command_parser

    def remember(*args, **kwargs):
        made.append(real(*args, **kwargs))
        return made[-1]

    words = command.split()
    own = importlib.import_module(f"lightly_core.cli.{words[0].replace('-', '_')}")
    for module in (own, plugin_new, settings_words):
        if hasattr(module, "command_parser"):
            monkeypatch.setattr(module, "command_parser", remember)
    run(*words, "--help")
    (made_parser,) = made
    assert set(parser.option_names(made_parser)) == FLAGS[command] | EVERYWHERE | {"-h", "--help"}


def test_the_flags_of_all_commands_are_those_listed_here():
    assert set(parser.option_names(parser.global_options())) == EVERYWHERE
