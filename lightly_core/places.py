"""Checks whether a file or folder can be written at a path, without writing anything."""

from __future__ import annotations

import os
import re
from pathlib import Path


def place_problem(path: Path) -> str | None:
    """Return why no file or folder can be created at a path, or None. Nothing is written.

    Args:
        path: Absolute path. Neither it nor its folders need to exist.

    Returns:
        A clause that starts with the path, or None if a file or folder can be created.
    """
    if "\0" in str(path):
        shown = str(path).replace("\0", "\\0")
        return f"'{shown}' contains a NUL character, which no file system allows"
    try:
        there = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
        if path == there and path.exists() and not (path.is_file() or path.is_dir()):
            return f"'{path}' is a device, a pipe or a socket, which is not replaced by a file"
        missing = path.relative_to(there).parts
        if missing and not there.is_dir():
            what = "a link to nothing" if there.is_symlink() else "a file"
            return f"'{path}' cannot be created, as '{there}' is {what}"
        if problem := _no_path(missing):
            return f"'{path}' {problem}"
        longest = max((len(os.fsencode(part)) for part in missing), default=0)
        limit = _longest_name(there)
        if limit is not None and longest > limit:
            return f"'{path}' has a name of {longest} bytes, but the file system allows {limit}"
    except OSError as error:  # a name that is too long, or a folder without permission
        return f"'{path}' cannot be accessed: {error.strerror}"
    folder = there if there.is_dir() else there.parent
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    why = "the file system is read-only" if _is_read_only(folder) else "permission denied"
    return f"'{path}' cannot be written: {why} in '{folder}'"


def _no_path(missing: tuple[str, ...]) -> str | None:
    """Return a problem for parts of an address, and for variables that were not replaced."""
    for name in missing:
        # A drive of Windows has one letter.
        if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]+:", name):
            return (
                f"comes from an address that starts with '{name}//': only local folders can be "
                "written, so copy the results there afterwards, or mount the storage"
            )
        variable = re.match(r"\$(\w+)|\$\{(\w+)\}|%(\w+)%", name)
        if variable is not None and variable[variable.lastindex or 0] in os.environ:
            return f"contains the variable '{variable[0]}', which only a shell replaces"
    return None


def _longest_name(folder: Path) -> int | None:
    """Return the length in bytes of the longest name in a folder; None: the system has no limit."""
    if not hasattr(os, "pathconf") or not folder.is_dir():
        return None
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):
        return None


def _is_read_only(folder: Path) -> bool:
    if not hasattr(os, "statvfs"):
        return False
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
