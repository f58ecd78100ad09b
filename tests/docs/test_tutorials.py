"""The tutorials are followed literally: files are written, commands are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from circles import mark_others
from code_blocks import blocks_of, commands_of

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs").glob("tutorial-*.md"))
PATH = re.compile(r"`(lightly-[\w./-]+)`")
#: Programs by the modules that they run.
PROGRAMS = {"lightly": "lightly_core.cli", "pytest": "pytest"}


class Follower:
    """Does what a page says, in a folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder):
        self.folder = folder
        self.paths = [os.environ.get("PYTHONPATH", ""), str(ROOT)]
        self.replaced = None
        self.done = []

    def follow(self, block):
        """Follow one block of code."""
        if block.language == "bash":
            for words in commands_of(block.code):
                self.run(words)
        elif block.before == "by":
            file, old = self.replaced
            text = file.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{file.name} does not have {old!r} once"
            file.write_text(text.replace(old, block.code), encoding="utf-8")
        elif path := PATH.search(block.before):
            self.write(self.folder / path[1], block)
        else:
            self.python("-c", block.code)

    def write(self, file, block):
        """Write, extend or begin to change a file."""
        if block.before.endswith("replace"):
            self.replaced = (file, block.code)
        elif block.before.endswith("add"):
            with file.open("a", encoding="utf-8") as opened:
                opened.write(f"\n\n{block.code}")
        else:
            assert block.before.startswith("Write ")
            file.write_text(block.code, encoding="utf-8")

    def run(self, words):
        """Run a command."""
        self.done.append(words[0])
        if words[0] == "pip":
            assert words[1:3] == ["install", "-e"]
            self.install(self.folder / words[3].removesuffix("[test]"))
        else:
            options = ["-p", "no:cacheprovider"] if words[0] == "pytest" else []
            self.python("-m", PROGRAMS[words[0]], *words[1:], *options)

    def install(self, project):
        """Make a package known as pip does, without a network."""
        text = (project / "pyproject.toml").read_text(encoding="utf-8")
        name, target = re.search(r"lightly.plugins\"\]\n(\S+) = \"(\S+)\"", text).groups()
        info = project / "src" / f"{project.name.replace('-', '_')}-0.1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {project.name}\nVersion: 0.1.0\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[lightly.plugins]\n{name} = {target}\n")
        self.paths.append(str(project / "src"))

    def python(self, *words):
        """Run Python, and require that it succeeds."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, self.paths)),
                "CUDA_VISIBLE_DEVICES": "",
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    mark_others(pytest.mark.exhaustive, [page.stem for page in TUTORIALS], "tutorial-method"),
)
def test_a_tutorial_works_as_it_is_written(name, tmp_path):
    page, follower = ROOT / "docs" / f"{name}.md", Follower(tmp_path)
    for block in blocks_of(page.read_text(encoding="utf-8")):
        follower.follow(block)
    assert follower.done.count("pytest") >= 2
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_there_is_a_tutorial_for_each_kind_that_the_page_names():
    text = (ROOT / "docs/writing-a-plugin.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\((tutorial-[\w-]+\.md)\)", text))
    assert linked == {page.name for page in TUTORIALS}
    assert len(linked) == 4
