"""Whether something can be written at a path, told before anything is written."""

from __future__ import annotations

import os
import re
from pathlib import Path


def place_problem(path: Path) -> str | None:
    """Say why no file or folder can be made at a path; reads only.

    Args:
        path: Absolute; neither it nor its folders need exist.

    Returns:
        A clause that begins with the path; None where nothing speaks against it.
    """
    if "\0" in str(path):
        shown = str(path).replace("\0", "\\0")
        return f"'{shown}' has a NUL character in it, which no file system allows"
    try:
        there = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
        if path == there and path.exists() and not (path.is_file() or path.is_dir()):
            return f"'{path}' is a device, a pipe or a socket, in whose place no file is put"
        missing = path.relative_to(there).parts
        if missing and not there.is_dir():
            what = "a link to nothing" if there.is_symlink() else "a file"
            return f"'{path}' cannot be made, as '{there}' is {what}"
        if problem := _no_path(missing):
            return f"'{path}' {problem}"
        longest = max((len(os.fsencode(part)) for part in missing), default=0)
        limit = _longest_name(there)
        if limit is not None and longest > limit:
            return f"'{path}' has a name of {longest} bytes, and the file system takes {limit}"
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        return f"'{path}' cannot be looked at: {error.strerror}"
    folder = there if there.is_dir() else there.parent
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    why = "the file system is read-only" if _is_read_only(folder) else "permission denied"
    return f"'{path}' cannot be written: {why} in '{folder}'"


def _no_path(missing: tuple[str, ...]) -> str | None:
    """Know names that nobody wants to make: of an address, and of a variable left as it is."""
    for name in missing:
        # A drive of Windows has one letter.
        if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]+:", name):
            return (
                f"comes from an address that begins with '{name}//': only local folders are "
                "written, so copy the results there afterwards, or mount the storage"
            )
        variable = re.match(r"\$(\w+)|\$\{(\w+)\}|%(\w+)%", name)
        if variable is not None and variable[variable.lastindex or 0] in os.environ:
            return f"has the variable '{variable[0]}' in it, which only a shell replaces"
    return None


def _longest_name(folder: Path) -> int | None:
    """Return the longest name in bytes that a folder takes, where the system tells."""
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
