"""Versions of Python and of the installed packages. No package is imported."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from lightly_core.diagnosing.report import Section
from lightly_core.version import __version__

#: Packages that a run needs, and packages that it uses if they are installed.
_NEEDED = ("torch", "lightning", "numpy", "pillow", "simplejpeg")
_USED = (
    *("torchvision", "timm", "ultralytics", "opencv-python-headless", "opencv-python", "triton"),
    *("faiss-cpu", "tifffile", "pydicom", "pillow-heif"),
)


def versions() -> Section:
    """Return the versions."""
    rows = [
        ("python", f"{sys.version.split()[0]}, {platform.platform()}"),
        ("lightly-core", __version__),
    ]
    missing = []
    for name in _NEEDED:
        found = _version(name)
        rows.append((name, found or "not installed"))
        if found is None:
            missing.append(name)
    rows += [(name, found) for name in _USED if (found := _version(name)) is not None]
    advice = [f"{name} is required and not installed: pip install {name}" for name in missing]
    return Section("Versions", tuple(rows), tuple(advice))


def has_opencv() -> bool:
    """Return whether a distribution of OpenCV is installed, which speeds up views on a CPU."""
    names = ("opencv-python-headless", "opencv-python", "opencv-contrib-python")
    return any(_version(name) is not None for name in names)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
