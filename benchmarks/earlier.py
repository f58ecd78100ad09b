"""The files of an earlier commit of this repository, and its plugins without an installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def write_files(commit: str, folder: Path) -> None:
    """Write the files of a commit, unless the folder exists, and register its plugins."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        command = ["git", "archive", "--format=tar", commit]
        archive = subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], check=True, input=archive)
    for project in sorted(folder.glob("plugins/*/pyproject.toml")):
        _register(project)


def packages(folder: Path) -> list[Path]:
    """Return what the module path needs: the packages of the files, then this package."""
    return [folder, *sorted(folder.glob("plugins/*/src")), ROOT]


def _register(project: Path) -> None:
    """Write the metadata by which a plugin is found when its sources are in the module path."""
    settings = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    name, version = settings["name"], settings["version"]
    found = project.parent / "src" / f"{name.replace('-', '_')}-{version}.dist-info"
    found.mkdir(exist_ok=True)
    (found / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in settings.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (found / "entry_points.txt").write_text("\n".join(lines) + "\n")
