"""Check a release before it is published: ``python tools/check_release.py v0.1.0 dist``.

The tag must equal the version in `lightly_core/version.py`, `CHANGELOG.md` must have a section for
it, and the folder must contain a wheel and a source archive of every distribution, and no other
file. The distributions must require each other in this version, and the extra ``all`` of the core
must name every plugin.
"""

from __future__ import annotations

import re
import runpy
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
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


def metadata_problems(folder: Path, root: Path = ROOT) -> Iterator[str]:
    """Yield the problems of the metadata of the wheels in a folder.

    Args:
        folder: Folder of the built archives.
        root: Root of the repository.
    """
    names = distribution_names(root)
    for wheel in sorted(folder.glob("*.whl")):
        metadata = _metadata(wheel)
        if metadata is None:
            yield f"{wheel.name} cannot be read"
            continue
        name, version = metadata["Name"], metadata["Version"]
        required = [
            found
            for line in metadata.get_all("Requires-Dist", [])
            if (found := _OWN.match(line)) and found[1] in names
        ]
        for found in required:
            if not _allows(found[2], version):
                yield f"{wheel.name} requires {found[1]}{found[2]}, which {version} does not meet"
        if name == names[0]:
            everything = {found[1] for found in required if "extra == 'all'" in found.string}
            yield from (f"{name}[all] lacks {one}" for one in names[1:] if one not in everything)


#: A requirement of one of our distributions, and its versions.
_OWN = re.compile(r"(lightly-[a-z0-9]+)([<>=.,0-9]*)")


def _metadata(wheel: Path) -> Message | None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
            return message_from_string(archive.read(member).decode("utf-8"))
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _allows(specifier: str, version: str) -> bool:
    """Return whether a specifier such as ``<0.3,>=0.2`` has the series of a version."""
    major, minor = version.split(".")[:2]
    return set(specifier.split(",")) == {f">={major}.{minor}", f"<{major}.{int(minor) + 1}"}


def main(arguments: list[str]) -> int:
    """Print the problems; return 1 if there are any."""
    if len(arguments) != 2:
        print("usage: python tools/check_release.py TAG FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[1])
    found = [*problems(arguments[0], folder), *metadata_problems(folder)]
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
