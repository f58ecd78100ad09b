"""New plugins pass the checks of their kind."""

import importlib
import sys
from pathlib import Path

import pytest

from lightly_core.cli.main import main
from lightly_core.errors import ConfigError
from lightly_core.plugins import discovery
from lightly_core.scaffold.new import KINDS, new_plugin


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Write a plugin, and make it known as pip does."""

    def install(kind):
        folder, files = new_plugin(f"my-{kind}", kind, tmp_path / kind)
        package = f"lightly_my_{kind}"
        info = folder / "src" / f"{package}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: lightly-my-{kind}\nVersion: 0.1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[lightly.plugins]\nmy-{kind} = {package}.plugin\n")
        monkeypatch.syspath_prepend(folder / "src")
        importlib.invalidate_caches()
        discovery.configure()
        return folder, files

    yield install
    for name in [name for name in sys.modules if name.startswith("lightly_my_")]:
        del sys.modules[name]
    discovery.configure()


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_registered_and_complete(kind, installed):
    folder, files = installed(kind)
    names = {path.as_posix() for path in files}
    assert {"README.md", "pyproject.toml", ".github/workflows/tests.yml"} <= names
    texts = [(folder / path).read_text() for path in files]
    assert not [text for text in texts if "${" in text.replace("${{", "") or "$name" in text]
    for path in folder.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    (status,) = [one for one in discovery.get_plugins().statuses if one.name == f"my-{kind}"]
    assert (status.state, len(status.provides)) == ("loaded", 1), status.error


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_all_checks(kind, installed, capsys):
    installed(kind)
    code = main(["plugin", "check", f"my-{kind}"])
    assert code == 0, capsys.readouterr().out
    assert "skip " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("My_Method", "method", "lower case letters"),
        ("lightly-", "method", "lower case letters"),
        ("x", "methods", "expected one of method, models"),
    ],
)
def test_wrong_words_are_refused_and_nothing_is_written(name, kind, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        new_plugin(name, kind)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_kept(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        new_plugin("x", "method", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_session_of_nox_tries_every_kind():
    noxfile = (Path(__file__).parents[2] / "noxfile.py").read_text()
    assert f"kinds = {tuple(KINDS)!r}".replace("'", '"') in noxfile


def test_the_command_lists_the_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plugin", "new", "lightly-a-b", "--kind", "logger"]) == 0
    out = capsys.readouterr().out
    assert "lightly-a-b/src/lightly_a_b/logger.py\n" in out
    assert (tmp_path / "lightly-a-b/src/lightly_a_b/logger.py").is_file()
    assert main(["plugin", "new", "x"]) == 2
