"""The files of a row: its settings, its progress and its results.

Below the folder of the row:

- ``row.json``: the settings that it was started with
- ``run``: the run folder of `lightly run`
- ``sessions.json``: duration and memory of each session of the training
- ``trained.json``: the same for the whole training, once it has finished
- ``evaluation.json``: the results of `lightly evaluate`
- ``result.json``: training and evaluation; the row has finished
- ``failure.json``: the error of a row that failed
- ``worker.log``: output of its process
- ``job.json``: settings for its process, while it runs
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightly_core.atomic import atomic_path
from lightly_core.benchmarking.files import (
    BEST_FILE,
    FAILURE_FILE,
    RESULT_FILE,
    ROW_FILE,
    ROW_RUN,
    TRIALS_FILE,
)
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.options.fields import Plain, plain
from lightly_core.errors import ConfigError

if TYPE_CHECKING:
    from lightly_core.benchmarking.suite import Row

#: Settings that change no result.
_FREE = frozenset({"loader_args", "loggers", "max_skipped", "num_workers"})


class RowFolder:
    """Paths of a row's files. Creating one writes nothing.

    Args:
        root: Folder of the row.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = root / ROW_FILE
        self.job = root / "job.json"
        self.run = root / ROW_RUN
        self.sessions = root / "sessions.json"
        self.trained = root / "trained.json"
        self.evaluation = root / "evaluation.json"
        self.result = root / RESULT_FILE
        self.failure = root / FAILURE_FILE
        self.log = root / "worker.log"

    @property
    def interrupted(self) -> bool:
        """Whether there is a training that can be resumed."""
        return not self.trained.is_file() and (self.run / "checkpoints/last.ckpt").is_file()

    def changes(self, row: Row) -> list[str]:
        """Name the settings that differ from those that the row was started with."""
        known = read(self.settings)
        if known is None:
            return []
        return list(_differences(known["settings"], binding_settings(row), ""))

    def forget(self, row: Row) -> None:
        """Remove results of earlier settings; those of training only if its settings changed."""
        known = read(self.settings) or {}
        before, now = known.get("settings") or {}, binding_settings(row)
        kept = all(before.get(name) == now.get(name) for name in ("run", "sweep"))
        for path in (self.settings, self.evaluation, self.result, self.failure):
            path.unlink(missing_ok=True)
        if not kept:
            tables = (self.root / name for name in (TRIALS_FILE, BEST_FILE))
            for path in (self.trained, self.sessions, *tables):
                path.unlink(missing_ok=True)
            # Only runs of this row write there.
            for folder in (self.run, *self.root.glob("trial-*")):
                shutil.rmtree(folder, ignore_errors=True)


def binding_settings(row: Row) -> dict[str, Any]:
    """Return the settings on which a row's numbers depend, as plain data without secrets."""
    groups: dict[str, Any] = {"run": row.run, "evaluate": row.evaluate}
    settings = {
        name: group and {key: group[key] for key in sorted(group) if key not in _FREE}
        for name, group in groups.items()
    }
    if row.sweep is not None:
        settings["sweep"] = row.sweep.binding()
    return dict(json.loads(json.dumps(without_secrets(plain(settings)))))


def digest(settings: Mapping[str, Any]) -> str:
    """Return a short fingerprint of plain data."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(path: Path, content: object) -> None:
    """Write JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_private(path: Path, content: object) -> None:
    """Write JSON that only the owner may read, as URLs in it hold secrets."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(temporary, path)


def read(path: Path) -> Plain:
    """Return the content of a JSON file; None where there is none.

    Raises:
        ConfigError: It is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(
            f"'{path}' is damaged: {error}"
            f"\n  delete the folder '{path.parent}' to run the row again"
        ) from None


def _differences(old: object, new: object, name: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        was, now = ("not set" if value is None else repr(value) for value in (old, new))
        yield f"{name}: was {was}, now {now}"
