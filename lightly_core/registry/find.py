"""Find the run folders below a folder, at any depth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import define

from lightly_core.benchmarking.files import ROW_FILE, ROW_RUN
from lightly_core.data.names import shown
from lightly_core.engine.lock import LOCK_FILE
from lightly_core.engine.status import STATUS_FILE
from lightly_core.registry.entry import RunEntry
from lightly_core.registry.read import SUBFOLDERS, is_config, read_json, read_run
from lightly_core.registry.rows import is_row, read_row

#: Folders below the first one, at most.
MAX_DEPTH = 32
#: Each of these files is that of a run.
_OF_A_RUN = frozenset({"metrics.jsonl", "train.log", STATUS_FILE, "plugins.json"})


@define(kw_only=True)
class Folder:
    """A folder that was looked into.

    Attributes:
        path: Its path.
        name: Its path below the first folder, with ``/``; empty for that one.
        depth: Folders between it and the first one.
    """

    path: Path
    name: str
    depth: int


def find_runs(root: Path, looked: Callable[[int], None]) -> Iterator[RunEntry]:
    """Yield all runs, those of a folder before those of its subfolders, by name.

    Folders whose names begin with a dot are skipped. Links are followed, but no folder is visited
    twice.

    Args:
        root: An existing folder.
        looked: Called with the number of folders that were looked into since the last call.
    """
    visited: set[tuple[int, int]] = set()
    pending = [Folder(path=root, name="", depth=0)]
    while pending:
        folder = pending.pop()
        looked(1)
        try:
            status = os.stat(folder.path)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder.path) as found:
                entries = list(found)
        except OSError as error:
            yield _unreadable(folder, f"the folder cannot be read: {error.strerror}")
            continue
        names = {entry.name for entry in entries}
        skipped: tuple[str, ...] = ()
        if ROW_FILE in names and is_row(folder.path):
            yield _described(folder, read_row)
            skipped = (ROW_RUN,)
        elif _is_run(folder.path, names):
            yield _described(folder, read_run)
            skipped = SUBFOLDERS
        below = [entry for entry in entries if entry.name not in skipped and _is_folder(entry)]
        below.sort(key=lambda entry: entry.name, reverse=True)
        for entry in below if folder.depth < MAX_DEPTH else ():
            name = f"{folder.name}/{entry.name}" if folder.name else entry.name
            pending.append(Folder(path=Path(entry.path), name=name, depth=folder.depth + 1))


def _is_run(path: Path, names: set[str]) -> bool:
    """Return whether a folder holds a file of a run. Other tools write `config.json` too."""
    if names & _OF_A_RUN:
        return True
    if "checkpoints" in names and (path / "checkpoints/last.ckpt").is_file():
        return True
    if "config.json" not in names:
        return False
    try:
        return is_config(read_json(path / "config.json"))
    except (OSError, ValueError):
        # With its lock or one of its folders it is a damaged run, else a file of something else.
        return bool(names & {LOCK_FILE, *SUBFOLDERS})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.is_dir()
    except OSError:  # a link whose target may not be accessed
        return False


def _described(folder: Folder, read: Callable[[Path, str], RunEntry]) -> RunEntry:
    try:
        return read(folder.path, _name(folder))
    except Exception as error:
        # Whatever a foreign file holds, the list of all other runs is shown.
        return _unreadable(folder, f"its files cannot be read: {type(error).__name__}: {error}")


def _unreadable(folder: Folder, reason: str) -> RunEntry:
    return RunEntry(name=_name(folder), path=folder.path, reason=reason)


def _name(folder: Folder) -> str:
    return shown(folder.name or folder.path.name or str(folder.path))
