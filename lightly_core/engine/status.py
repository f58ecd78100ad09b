"""`status.json`: when a run started, and how it ended. A run that was killed stays "running"."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from attrs import asdict, define, evolve

from lightly_core.atomic import atomic_path
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.reading.launch import is_first_process
from lightly_core.errors import RunInterrupted
from lightly_core.failures import explain
from lightly_core.plugins.hookspecs import RunStatus

if TYPE_CHECKING:
    from lightly_core.engine.result import RunResult
    from lightly_core.engine.run import Training

logger = logging.getLogger(__name__)

STATUS_FILE = "status.json"


@define(frozen=True, kw_only=True)
class Status:
    """The content of `status.json`.

    Attributes:
        state: ``running`` from the start on; at the end as in `RunInfo.status`.
        started: When the run was started first, in ISO 8601 with the offset from UTC.
        ended: When it ended; None while it runs, and after its process was killed.
        step: Optimizer steps that were done; None before the end.
        stopped: Why not all steps were done, in a sentence; None if they were.
        error: Why it failed; None if it did not.
        knn_before: kNN top-1 before training, in [0, 1]; None without labels.
        knn_after: The newest kNN top-1.
        knn_images: Images that the kNN classified, from which its standard error follows.
    """

    state: RunStatus
    started: str
    ended: str | None = None
    step: int | None = None
    stopped: str | None = None
    error: str | None = None
    knn_before: float | None = None
    knn_after: float | None = None
    knn_images: int | None = None

    @classmethod
    def read(cls, folder: Path) -> Status | None:
        """Read the status of a run folder; None if there is none.

        Raises:
            ValueError: The file has other content.
            OSError: It cannot be read.
        """
        try:
            content = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        try:
            status = cls(**content)
        except TypeError as error:  # not an object, or with other keys
            raise ValueError("it has other keys than those of a status") from error
        if content["state"] not in get_args(RunStatus):
            raise ValueError(f"unknown state {content['state']!r}")
        if wrong := [key for key, types in _TYPES.items() if not _is_a(content.get(key), types)]:
            raise ValueError(f"it has other values than those of a status: {', '.join(wrong)}")
        return status


#: Types of the values, by key.
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("state", "started"), (str,)),
    **dict.fromkeys(("ended", "stopped", "error"), (str, type(None))),
    **dict.fromkeys(("step", "knn_images"), (int, type(None))),
    **dict.fromkeys(("knn_before", "knn_after"), (int, float, type(None))),
}


def _is_a(value: object, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def record_status(
    folder: Path, training: Training, resumed: bool, run: Callable[[], RunResult]
) -> RunResult:
    """Run, and write `status.json` before and after. The first process writes.

    Args:
        folder: The run folder, whose lock is held.
        training: Its Trainer and its callbacks.
        resumed: Whether the run resumes an interrupted one, whose start it keeps.
        run: Trains and exports.
    """
    if not is_first_process():
        return run()
    status = Status(state="running", started=_started(folder) if resumed else _now())
    _write(folder, status)
    result: RunResult | None = None
    caught: BaseException | None = None
    try:
        result = run()
        return result
    except BaseException as error:
        caught = error
        raise
    finally:
        _write(folder, _ended(status, training, result, caught))


def record_failure(folder: Path, error: str, step: int) -> str:
    """Write that a run has failed because of another process. The first failure counts.

    A process that goes on after it was stopped finds that the others have ended. They have ended
    because it was stopped, and have recorded this.

    Args:
        folder: The run folder.
        error: What happened, in a sentence.
        step: Optimizer steps that were done.

    Returns:
        The error that is recorded.
    """
    try:
        before = Status.read(folder)
    except (OSError, ValueError):
        before = None
    if before is not None and before.state == "failed" and before.error:
        return before.error
    status = before or Status(state="running", started=_now())
    text = str(without_secrets(error))
    _write(folder, evolve(status, state="failed", ended=_now(), step=step, error=text))
    return text


def _ended(
    status: Status, training: Training, result: RunResult | None, caught: BaseException | None
) -> Status:
    knn = training.watchers.knn
    status = evolve(
        status,
        state="finished",
        ended=_now(),
        step=training.trainer.global_step,
        stopped=result.stopped if result is not None else None,
        knn_before=knn.before if knn is not None else None,
        knn_after=knn.after if knn is not None else None,
        knn_images=knn.num_query if knn is not None else None,
    )
    if caught is None:
        return status
    if isinstance(caught, (RunInterrupted, KeyboardInterrupt)):
        return evolve(status, state="interrupted", stopped=str(caught) or "Ctrl-C")
    text = explain(caught) or f"{type(caught).__name__}: {caught}"
    return evolve(status, state="failed", error=str(without_secrets(text)))


def _started(folder: Path) -> str:
    """Return when a run that is resumed was started first."""
    try:
        before = Status.read(folder)
    except (OSError, ValueError):
        before = None
    return _now() if before is None else before.started


def _write(folder: Path, status: Status) -> None:
    """Write the status. That this fails, as on a full disk, does not stop the run."""
    content: dict[str, Any] = asdict(status)
    try:
        with atomic_path(folder / STATUS_FILE) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        logger.warning("'%s' cannot be written: %s", folder / STATUS_FILE, error)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
