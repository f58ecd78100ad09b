"""Explains errors of the operating system, torch, Lightning and loader workers to the user.

`explain` recognises errors from outside of the program: a full disk, a killed worker, too little
memory. `blame` names the code that raised any other error. Neither imports torch.
"""

from __future__ import annotations

import errno
import re
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from lightly_core.errors import LightlyError, RunError

_OTHER_PLACE = "free some space there, or write to another disk"

_NO_SEMAPHORES = (
    "permission denied for the semaphores of processes, which are files in /dev/shm; make it "
    "writable (`chmod 1777 /dev/shm` as root)"
)
#: What happened and what to do, by error number.
_BY_NUMBER = {
    errno.ENOSPC: ("the disk is full", _OTHER_PLACE),
    errno.EDQUOT: ("the disk quota is used up", _OTHER_PLACE),
    errno.EFBIG: ("the file is larger than is allowed here", "raise the limit (`ulimit -f`)"),
    errno.EROFS: ("the file system is read-only", "choose another place"),
    errno.EACCES: ("permission denied", "change the permissions, or choose another place"),
    errno.EPERM: ("the operation is not permitted", "choose another place"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "choose a shorter one"),
    errno.ENOENT: (
        "it does not exist, or not any more",
        "check the path",
    ),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another place"),
    errno.EIO: ("the disk or network share failed", "look at the system's log (`dmesg`)"),
    errno.ESTALE: ("the network share was mounted again", "mount it again and continue"),
    errno.EMFILE: (
        "too many open files",
        "raise the limit (`ulimit -n 4096`), or lower num_workers",
    ),
    errno.ENFILE: ("the system has too many open files", "close other programs"),
    errno.ENOMEM: ("out of memory", "lower batch_size or num_workers, or close other programs"),
}
#: Texts of the same errors in libraries that are not written in Python.
_BY_WORDS = (
    (r"no space left on device|os error 28\b", errno.ENOSPC),
    (r"disk quota exceeded|os error 122\b", errno.EDQUOT),
    (r"file too large|os error 27\b", errno.EFBIG),
    (r"read-only file system|os error 30\b", errno.EROFS),
    (r"too many open files|os error 24\b|received 0 items of ancdata", errno.EMFILE),
    (r"cannot allocate memory|can't allocate memory|not enough memory", errno.ENOMEM),
)
_NO_SHARED_MEMORY = (
    "there is too little shared memory to hand batches from the loader's workers to the main "
    "process; raise it (in Docker `--shm-size=8g` or `--ipc=host`), lower num_workers or "
    "loader_args.prefetch_factor, or set num_workers=0"
)


def explain(error: BaseException, folder: Path | None = None) -> str | None:
    """Return what happened and what to do about it.

    Args:
        error: Any exception. The exceptions that it was raised from are inspected too.
        folder: Folder in which files are written, for errors that name no file.

    Returns:
        One line, or None if the error is not known here.
    """
    for link in reversed(list(_chain(error))):
        # The error of a worker arrives as text in an exception of the same class.
        text = str(link)
        known = (
            _worker(text) or _system(link, text, folder) or _device(link, text) or _processes(text)
        )
        if known is not None:
            return known
    return None


@contextmanager
def explained(folder: Path | None = None, kept: Path | None = None) -> Iterator[None]:
    """Raise `RunError` in place of an error that `explain` knows.

    Args:
        folder: Folder in which files are written.
        kept: A checkpoint that the message names if it exists.
    """
    try:
        yield
    except LightlyError:
        raise
    except Exception as error:
        known = explain(error, folder)
        if known is None:
            raise
        raise RunError(known + kept_hint(kept)) from error


def kept_hint(checkpoint: Path | None) -> str:
    """Return a line that says how to go on from a checkpoint, empty if it does not exist."""
    if checkpoint is None or not checkpoint.is_file():
        return ""
    return f"\n  '{checkpoint}' is kept: resume_interrupted=true continues from it"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _worker(text: str) -> str | None:
    """Recognise torch's errors about a loader's worker that has ended or does not answer."""
    if "Bus error" in text or re.search(r"shared memory|</torch_|/dev/shm", text):
        return _NO_SHARED_MEMORY
    if killed := re.search(r"\(pid (\d+)\) is killed by signal: ([^.]+)", text):
        pid, signal_name = killed.groups()
        if signal_name.startswith("Killed"):
            return _killed(pid)
        return (
            f"a loader's worker (process {pid}) crashed with '{signal_name.strip()}', in a library "
            "that reads images; set num_workers=0 to see at which image"
        )
    if gone := re.search(r"worker \(pid(?:\(s\))? ([\d, ]+)\) exited unexpectedly", text):
        return (
            f"a loader's worker (process {gone.group(1)}) has ended: it crashed or was killed, "
            "most often because memory ran out; lower num_workers, or read the system's log "
            "(`dmesg`)"
        )
    if late := re.search(r"timed out after (\S+) seconds", text):
        return (
            f"no batch came from the loader's workers within loader_args.timeout={late.group(1)} "
            "seconds; raise it, increase num_workers, or check whether the disk responds"
        )
    return None


def _killed(pids: str) -> str:
    return (
        f"the system killed a loader's worker (process {pids}), most often because memory ran out; "
        "lower num_workers or loader_args.prefetch_factor, or read the system's log (`dmesg`)"
    )


def _system(error: BaseException, text: str, folder: Path | None) -> str | None:
    """Recognise errors of the operating system, also from their text in errors of libraries."""
    if isinstance(error, MemoryError):
        return _sentence(errno.ENOMEM, None)
    if isinstance(error, PermissionError) and _is_semaphore(error):
        return _NO_SEMAPHORES
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        name = error.filename2 or error.filename
        return _sentence(error.errno, folder if name is None else name)
    if re.search("inline_container|PytorchStreamWriter|iostream error", text):
        return (
            f"{_subject(folder)}a file cannot be written, most often because the disk is full or "
            f"a quota is used up; {_OTHER_PLACE}"
        )
    for words, number in _BY_WORDS:
        if re.search(words, text, re.IGNORECASE):
            return _sentence(number, folder)
    return None


def _is_semaphore(error: BaseException) -> bool:
    """Return whether an error came from creating a semaphore, which is in /dev/shm on Linux."""
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(Path(file).parts[-2:] == ("multiprocessing", "synchronize.py") for file in files)


def _sentence(number: int, name: object) -> str:
    happened, remedy = _BY_NUMBER[number]
    place = None if number in (errno.ENOMEM, errno.EMFILE, errno.ENFILE) else name
    return f"{_subject(place)}{happened}; {remedy}"


def _subject(name: object) -> str:
    return "" if name is None else f"'{name}': "


def _device(error: BaseException, text: str) -> str | None:
    """Recognise errors of devices."""
    if type(error).__name__ == "OutOfMemoryError" or "out of memory" in text:
        return (
            f"out of device memory: {text.splitlines()[0] if text else ''} Try a smaller "
            "batch_size with more gradient_accumulation_steps, precision=bf16-mixed, or smaller "
            "views (transform_args.image_size)"
        )
    if "device-side assert" in text or re.search(r"CUDA error: (an illegal|unspecified)", text):
        return (
            f"the device failed: {text.splitlines()[0]}; CUDA_LAUNCH_BLOCKING=1 and --traceback "
            "show the operation. The process cannot use the device any more"
        )
    return None


#: Texts of errors of collective operations whose other processes have ended or hang.
_ENDED = (
    r"Connection (closed|reset) by peer|Broken pipe|Socket Timeout|Timed out waiting|timed out"
    r"|caused pair closure|remote process exited|communicator was aborted|failed to recv"
    r"|Failed to (recv|send)|Connection refused|Watchdog caught collective operation timeout"
)


def follows_from_another_process(error: BaseException) -> bool:
    """Return whether an error of a collective operation follows from another process's end."""
    return any(_processes(str(link)) is not None for link in _chain(error))


def _processes(text: str) -> str | None:
    """Recognise errors that follow from the end of another process of the run."""
    if re.search(_ENDED, text) and re.search(r"gloo|nccl|TCPStore|ProcessGroup", text, re.I):
        return (
            "another process of this run has ended or cannot be reached; read the output of that "
            "process for the reason"
        )
    return None


# --------------------------------------------------------------------- unexpected errors


class Place(NamedTuple):
    """A line of code in the traceback of an error.

    Attributes:
        owner: ``core``, ``plugin``, ``user`` or ``library``.
        package: Top-level package.
        where: File and line.
    """

    owner: str
    package: str
    where: str


def blame(error: BaseException, plugins: frozenset[str] = frozenset()) -> str:
    """Return a clause that names the code that raised an error which `explain` does not know.

    Args:
        error: A caught exception.
        plugins: Top-level packages of plugins.
    """
    places = [_place(frame, line, plugins) for frame, line in _frames(error)]
    library = ""
    if places and places[-1].owner == "library":
        library = f"the package {places[-1].package}, called by "
    caller = next((place for place in reversed(places) if place.owner != "library"), None)
    if caller is not None and caller.owner == "user":
        return f"raised in {library}{caller.where}, which is not part of lightly-core"
    if caller is not None and caller.owner == "plugin":
        return f"raised in {library}the plugin package {caller.package} ({caller.where})"
    if library:
        return f"raised in {library}lightly-core"
    return "this is not your mistake but one in lightly-core: please report it"


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _place(frame: FrameType, line: int, plugins: frozenset[str]) -> Place:
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    file = frame.f_code.co_filename
    if package == "lightly_core":
        owner = "core"
    elif package in plugins:
        owner = "plugin"
    elif package in sys.stdlib_module_names or file.startswith(("<", *_LIBRARIES)):
        owner = "library"
    else:
        owner = "user"
    return Place(owner, package, f"{file}, line {line}")


def _library_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += site.getsitepackages() if hasattr(site, "getsitepackages") else []
    return tuple({str(Path(folder)) for folder in folders if folder})


_LIBRARIES = _library_folders()
