"""Print the versions of all requirements of lightly-core and its plugins.

Run ``python tools/versions.py``. With ``--lowest`` a package that is newer than its lower bound is
an error. The session `minimal` uses this to make sure that its tests run with the lower bounds of
each ``pyproject.toml``.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version

from packaging.requirements import Requirement
from packaging.version import Version

GROUP = "lightly.plugins"


def ours() -> Iterator[Distribution]:
    """Yield lightly-core and the distributions of its plugins."""
    for distribution in distributions():
        is_plugin = any(entry.group == GROUP for entry in distribution.entry_points)
        if is_plugin or distribution.metadata["Name"] == "lightly-core":
            yield distribution


def required(distribution: Distribution) -> Iterator[Requirement]:
    """Yield the requirements that apply on this machine, including those of all extras."""
    extras = ["", *distribution.metadata.get_all("Provides-Extra", [])]
    for requirement in map(Requirement, distribution.requires or []):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def lower_bounds(requirements: Iterable[Requirement]) -> dict[str, Version | None]:
    """Return the highest lower bound of each package by name, None if it has no bound."""
    bounds: dict[str, Version | None] = {}
    for requirement in requirements:
        known = bounds.setdefault(requirement.name, None)
        for specifier in requirement.specifier:
            bound = Version(specifier.version.removesuffix(".*"))
            if specifier.operator in (">=", "==", "~=") and (known is None or bound > known):
                known = bounds[requirement.name] = bound
    return bounds


def problem(name: str, bound: Version | None, installed: str | None, *, lowest: bool) -> str:
    """Return the problem of an installed package, or an empty text.

    Args:
        name: Name of the package.
        bound: Lower bound of its version.
        installed: Installed version; None if it is not installed.
        lowest: Whether the installed version must be the lower bound.
    """
    if installed is None:
        return f"{name} is not installed"
    if not lowest:
        return ""
    if bound is None:
        return f"{name} has no lower bound"
    if Version(Version(installed).base_version) != Version(bound.base_version):
        return f"{name} {installed} is installed, expected its lower bound {bound}"
    return ""


def installed_version(name: str) -> str | None:
    """Return the version of a package, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main(arguments: list[str]) -> int:
    """Print the table; return 1 if a package is wrong."""
    own = list(ours())
    names = {distribution.metadata["Name"] for distribution in own}
    bounds = lower_bounds(
        requirement
        for distribution in own
        for requirement in required(distribution)
        if requirement.name not in names
    )
    print(f"{'Python':<20} {platform.python_version()}")
    for distribution in sorted(own, key=lambda each: str(each.metadata["Name"])):
        print(f"{distribution.metadata['Name']:<20} {distribution.version}")
    problems = []
    for name, bound in sorted(bounds.items()):
        installed = installed_version(name)
        print(f"{name:<20} {installed or '-':<16} >={bound}")
        problems.append(problem(name, bound, installed, lowest="--lowest" in arguments))
    for text in filter(None, problems):
        print(f"error: {text}", file=sys.stderr)
    return 1 if any(problems) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
