"""Check a release before it is published: ``python tools/check_release.py v0.1.0 dist``.

The tag must equal the version in `lightly_core/version.py`, `CHANGELOG.md` must have a section for
it, and the folder must contain a wheel and a source archive of every distribution, and no other
file.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def distribution_names(root: Path = ROOT) -> list[str]:
    """Return the names of the core and of all plugins."""
    projects = [root / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))]
    return [
        re.findall(r'^name = "(.+)"$', project.read_text(encoding="utf-8"), re.MULTILINE)[0]
        for project in projects
    ]


def problems(tag: str, folder: Path, root: Path = ROOT) -> Iterator[str]:
    """Yield the problems that prevent a release.

    Args:
        tag: The pushed tag, such as ``v0.1.0``.
        folder: Folder of the built archives.
        root: Root of the repository.
    """
    version = runpy.run_path(str(root / "lightly_core/version.py"))["__version__"]
    if tag != f"v{version}":
        yield f"got tag {tag}, expected v{version}, the version in lightly_core/version.py"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if re.search(rf"^## {re.escape(version)} ", changelog, re.MULTILINE) is None:
        yield f"CHANGELOG.md has no section '## {version} - DATE'"
    expected = {
        f"{name.replace('-', '_')}-{version}{ending}"
        for name in distribution_names(root)
        for ending in ("-py3-none-any.whl", ".tar.gz")
    }
    built = {file.name for file in folder.iterdir()}
    yield from (f"{folder} has no {name}" for name in sorted(expected - built))
    yield from (f"{folder} has an unexpected {name}" for name in sorted(built - expected))


def main(arguments: list[str]) -> int:
    """Print the problems; return 1 if there are any."""
    if len(arguments) != 2:
        print("usage: python tools/check_release.py TAG FOLDER", file=sys.stderr)
        return 2
    found = list(problems(arguments[0], Path(arguments[1])))
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
