"""The code on pages: Python compiles, TOML is valid, commands and their settings exist."""

import textwrap
from pathlib import Path

import pytest
from code_blocks import blocks_of, commands_of

from lightly_core.cli.main import ALIASES, COMMANDS, main
from lightly_core.config.options.advise import AdviseConfig
from lightly_core.config.options.doctor import DoctorConfig
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.config.options.export import ExportConfig
from lightly_core.config.reading.command import loaded_options
from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.config.reading.load import load_settings
from lightly_core.plugins.discovery import get_plugins

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "tools/site/front.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
]
#: Option classes of commands that take settings.
OPTIONS = {
    "advise": AdviseConfig,
    "doctor": DoctorConfig,
    "embed": EmbedConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
}
#: Plugins of the tutorials, which are not installed. tests/docs/test_tutorials.py installs them.
OF_TUTORIALS = ("alignment", "tiny/", "microscopy", "sqlite")


def all_blocks(*languages):
    for page in PAGES:
        for number, block in enumerate(blocks_of(page.read_text(encoding="utf-8")), 1):
            if block.language in languages:
                name = page.relative_to(ROOT).as_posix()
                yield pytest.param(block.code, id=f"{name}:{number}")


def all_commands():
    """Each command of lightly that is complete, without repetitions."""
    seen = set()
    for parameter in all_blocks("bash", "console"):
        for words in commands_of(parameter.values[0]):
            start = words.index("lightly") + 1 if "lightly" in words else None
            if start is None or "..." in words:
                continue
            words = [word for word in words[start:] if not word.startswith("$")]
            if tuple(words) not in seen:
                seen.add(tuple(words))
                yield pytest.param(words, id=f"{parameter.id} {' '.join(words)[:40]}")


@pytest.mark.parametrize("code", list(all_blocks("python")))
def test_python_compiles(code):
    compile(textwrap.dedent(code), "page", "exec")


@pytest.mark.parametrize("code", list(all_blocks("toml")))
def test_toml_is_valid(code, tmp_path):
    (tmp_path / "page.toml").write_text(code, encoding="utf-8")
    assert read_toml(tmp_path / "page.toml")


@pytest.mark.parametrize("words", list(all_commands()))
def test_a_command_and_its_settings_exist(words, capsys):
    command, *rest = words
    command = ALIASES.get(command, (command, False))[0]
    assert command in COMMANDS
    if any(part in word for word in rest for part in OF_TUTORIALS):
        return
    flags = [word for word in rest if word.startswith("-")]
    if flags:
        name = [command, rest[0]] if command == "plugin" else [command]
        assert main([*name, "--help"]) == 0
        known = capsys.readouterr().out
        assert [flag for flag in flags if flag.split("=")[0] not in known] == []
    check_settings(command, [word for word in rest if "=" in word and word not in flags], rest)


def check_settings(command, pairs, words):
    """Raise if there is no such setting, or a value is refused."""
    if command in OPTIONS:
        with loaded_options(OPTIONS[command], pairs=pairs):
            pass
    elif command == "run" and "--config" in words:
        file = ROOT / words[words.index("--config") + 1]
        load_settings(catalog=get_plugins().catalog, config_file=str(file), pairs=pairs)
    elif command == "run":
        required = {"out": "out/page", "data": "images", "model": "torchvision/resnet18"}
        given = {pair.partition("=")[0] for pair in pairs}
        pairs += [f"{key}={value}" for key, value in required.items() if key not in given]
        load_settings(catalog=get_plugins().catalog, pairs=pairs)
