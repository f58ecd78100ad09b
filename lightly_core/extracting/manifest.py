"""The list of the videos whose frames a folder has: one line each, after one with the settings.

A line is written after the frames of its video. What a killed process has left is not listed, and
is written again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from attrs import asdict, define

from lightly_core.atomic import atomic_path
from lightly_core.config.options.extract import ExtractConfig
from lightly_core.config.options.fields import plain

#: Name of the file. Images are not searched in it, and its name sorts before those of videos.
FILE_NAME = "_videos.jsonl"
#: Settings that do not change what is written.
_FREE = frozenset({"videos", "out", "num_workers", "overwrite"})
_VERSION = 1


@define(frozen=True, kw_only=True)
class Row:
    """The frames of one video.

    Attributes:
        video: Its name, which is that of the folder of its frames.
        size: Bytes of its file.
        modified: Time of its file in nanoseconds.
        frames: Frames that were written.
        near_duplicates: Frames that were left out because they resemble earlier ones.
        problem: Why it could not be read, or not to its end; empty: it could.
    """

    video: str
    size: int
    modified: int
    frames: int = 0
    near_duplicates: int = 0
    problem: str = ""

    def is_of(self, status: os.stat_result) -> bool:
        """Return whether the file has not changed since."""
        return (self.size, self.modified) == (status.st_size, status.st_mtime_ns)


def settings_of(config: ExtractConfig) -> dict[str, Any]:
    """Return the settings on which the frames depend."""
    found = {name: value for name, value in plain(config).items() if name not in _FREE}
    return {**found, "fps": config.rate()}


class Manifest:
    """The file in a folder of frames.

    Args:
        folder: The folder.

    Attributes:
        settings: Settings of the frames in the folder; None: there is no file, or it is damaged.
        rows: The videos by name.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self.settings: Mapping[str, Any] | None = None
        self.rows: dict[str, Row] = {}
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        entries = [entry for line in lines if (entry := _entry(line)) is not None]
        if entries and isinstance(entries[0].get("settings"), dict):
            self.settings = entries[0]["settings"]
        for entry in entries[1:]:
            row = _row(entry)
            if row is not None:
                self.rows[row.video] = row

    def differences(self, config: ExtractConfig) -> list[str]:
        """Return the settings that differ from those of the folder, as text."""
        old, new = self.settings or {}, settings_of(config)
        return [f"{key}={old.get(key)}" for key in new if old.get(key) != new[key]]

    def begin(self, config: ExtractConfig) -> None:
        """Write the settings and the videos so far, and remove the frames of other settings."""
        if self.differences(config):
            for name in self.rows:
                shutil.rmtree(self.path.parent / name, ignore_errors=True)
            self.rows = {}
        self.settings = settings_of(config)
        head = {"version": _VERSION, "settings": self.settings}
        lines = [_line(entry) for entry in (head, *map(asdict, self.rows.values()))]
        with atomic_path(self.path) as temporary:  # the last line may have been cut off
            temporary.write_text("".join(lines), encoding="utf-8")

    def add(self, row: Row) -> None:
        """Append a video in one write, after which the line is complete or the last one."""
        self.rows[row.video] = row
        with self.path.open("ab", buffering=0) as file:
            file.write(_line(asdict(row)).encode())


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry) + "\n"


def _entry(line: str) -> dict[str, Any] | None:
    """Return a line as a dictionary; None if it was cut off."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _row(entry: Mapping[str, Any]) -> Row | None:
    """Return an entry as a row; None if it is none, or names a place outside of the folder."""
    try:
        row = Row(**entry)
    except TypeError:
        return None
    parts = PurePosixPath(row.video).parts
    return row if parts and parts[0] != "/" and ".." not in parts else None
