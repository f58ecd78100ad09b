"""Set the version of all distributions: ``python tools/set_version.py 0.2.0``.

It changes `lightly_core/version.py`, the series in which the distributions require each other, and
the section of the release in `CHANGELOG.md`: `## Unreleased` becomes `## VERSION - DATE`, and a new
section is added above it. With ``--dev`` the changelog stays as it is.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_UNRELEASED = "## Unreleased\n"


def series(version: str) -> str:
    """Return the versions that work together with this one, such as ``>=0.2,<0.3``."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}"


def changed_files(version: str, date: str | None, root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Yield each file that changes, with its new text.

    Args:
        version: The version, such as ``0.2.0``.
        date: Date of the release, such as ``2030-01-02``; None: the changelog stays as it is.
        root: Root of the repository.

    Raises:
        ValueError: The version is not of the form X.Y.Z, or the changelog has no open section.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"expected a version such as 0.2.0, got '{version}'")
    module = root / "lightly_core/version.py"
    text = module.read_text(encoding="utf-8")
    yield module, re.sub(r'(__version__ = )".*"', rf'\1"{version}"', text)
    projects = [
        root / "pyproject.toml",
        *sorted(root.glob("plugins/*/pyproject.toml")),
        *sorted(root.glob("examples/*/pyproject.toml")),
    ]
    for project in projects:
        text = project.read_text(encoding="utf-8")
        pattern = r'"(lightly-[a-z0-9]+)>=\d+\.\d+,<\d+\.\d+"'
        yield project, re.sub(pattern, rf'"\g<1>{series(version)}"', text)
    if date is not None:
        changelog = root / "CHANGELOG.md"
        text = changelog.read_text(encoding="utf-8")
        if text.count(_UNRELEASED) != 1:
            raise ValueError("CHANGELOG.md has no section '## Unreleased'")
        released = f"{_UNRELEASED}\nNothing yet.\n\n## {version} - {date}\n"
        yield changelog, text.replace(_UNRELEASED, released)


def main(arguments: list[str]) -> int:
    """Write the files and print their names; return 2 for wrong usage."""
    versions = [word for word in arguments if word != "--dev"]
    if len(versions) != 1:
        print("usage: python tools/set_version.py VERSION [--dev]", file=sys.stderr)
        return 2
    date = None if "--dev" in arguments else datetime.date.today().isoformat()
    try:
        changes = list(changed_files(versions[0], date))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path, text in changes:
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT).as_posix())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
