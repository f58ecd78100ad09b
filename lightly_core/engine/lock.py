"""A lock on a folder: only one process at a time writes there, also across machines.

The lock is a file that names its owner. The operating system keeps it locked (flock) as long as the
owner runs, and its modification time is updated every few seconds. If a file system has no flock,
or does not share it with other machines, the owner's process and that time show whether it runs.
"""

from __future__ import annotations

import errno
import getpass
import json
import logging
import os
import platform
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from attrs import asdict, define

from lightly_core.errors import LightlyError, RunError

if sys.platform != "win32":  # which has no flock
    import fcntl

logger = logging.getLogger(__name__)

#: Name of the lock file. It exists while the folder is in use, and after its owner was killed.
LOCK_FILE = ".lock"
#: Seconds between two updates of the modification time.
HEARTBEAT_SECONDS = 15.0
#: Seconds without an update after which an owner on another machine counts as ended. Network file
#: systems show a new modification time up to a minute late, and clocks differ.
STALE_SECONDS = 180.0

_TRIES = 5
#: Errors of systems and file systems without flock.
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)

#: Descriptors of the locks that this process holds.
_held: set[int] = set()


@define(frozen=True, kw_only=True)
class Owner:
    """The process that holds a lock.

    Attributes:
        host: Name of its machine.
        boot: Identifier of the last boot of the machine; empty if unknown.
        space: Identifier of the PID namespace, such as a container; empty if unknown.
        pid: Its process id.
        started: When it was started, in ticks since the boot; empty if unknown.
        user: Name of its user.
        since: When it acquired the lock: date, time and offset.
        token: Random; distinguishes this lock from an earlier one of the same process.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: str
    user: str
    since: str
    token: str

    @classmethod
    def this_process(cls) -> Owner:
        """Describe this process, now."""
        pid = os.getpid()
        return cls(
            host=platform.node(),
            boot=_boot(),
            space=_process_space(),
            pid=pid,
            started=_start_of(pid),
            user=_user(),
            since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
            token=secrets.token_hex(8),
        )

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """Read the owner of a lock; None if the file is missing or has other content."""
        try:
            owner = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return owner if isinstance(owner.pid, int) and owner.pid > 0 else None

    def is_here(self) -> bool:
        """Return whether it is a process of this machine since its last boot."""
        if self.boot and (boot := _boot()):
            return self.boot == boot
        return self.host == platform.node()

    def can_be_seen(self) -> bool:
        """Return whether this process can find it by its process id."""
        return sys.platform != "win32" and self.is_here() and self.space == _process_space()

    def has_ended(self) -> bool:
        """Return whether it has ended. Valid only if `can_be_seen`."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it runs as another user
            pass
        return bool(self.started) and _start_of(self.pid) not in ("", self.started)

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, since {self.since}"


def in_use_message(folder: Path) -> str | None:
    """Return which process holds the lock of a folder; None if it is free. Writes nothing.

    Args:
        folder: The folder; it need not exist.

    Returns:
        A message for the user.
    """
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None
    try:
        return _conflict(path, _flock(descriptor, exclusive=False))
    finally:
        os.close(descriptor)


def owner_of(folder: Path) -> Owner | None:
    """Return the process that holds the lock of a folder; None if there is none.

    Unlike `in_use_message` it does not lock the file, so no run that starts just then is refused.
    Whether a process that cannot be seen still runs is judged by the last update of its lock.

    Args:
        folder: The folder; it need not exist.
    """
    path = folder / LOCK_FILE
    owner = Owner.read(path)
    if owner is None:
        return None
    if owner.can_be_seen():
        return None if owner.has_ended() else owner
    age = _age(path)
    return None if age is None or age > STALE_SECONDS else owner


@contextmanager
def held(
    folder: Path, error: type[LightlyError] = RunError, *, name: str = LOCK_FILE
) -> Iterator[None]:
    """Hold the lock of a folder, which must exist.

    Args:
        folder: The folder.
        error: Class of the error that is raised if the folder is in use.
        name: Name of the lock file. Locks of one folder with several names are independent.

    Raises:
        LightlyError: Another process, or another run of this one, holds it.
        OSError: The folder cannot be written to.
    """
    path = folder / name
    owner = Owner.this_process()
    descriptor = _acquire(path, owner, error)
    _close_in_children(descriptor)
    stop = threading.Event()
    beat = threading.Thread(
        target=_beat, args=(path, stop), name="lightly-lock-heartbeat", daemon=True
    )
    beat.start()
    try:
        yield
    finally:
        stop.set()
        if os.getpid() == owner.pid:
            beat.join()
            _release(path, owner, descriptor)


def _acquire(path: Path, owner: Owner, error: type[LightlyError]) -> int:
    """Acquire the lock; return the descriptor of its file."""
    found: str | None = None
    for attempt in range(_TRIES):
        time.sleep(0.05 * attempt)  # another process may only run `in_use_message`
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            found = _try_acquire(path, descriptor, owner)
        except BaseException:
            os.close(descriptor)
            raise
        if found is None:
            return descriptor
        os.close(descriptor)
    raise error(found or f"'{path.parent}' is in use by another process")


def _try_acquire(path: Path, descriptor: int, owner: Owner) -> str | None:
    """Try to acquire the lock of an open file; return None, or why this failed."""
    locked = _flock(descriptor)
    found = _conflict(path, locked)
    if found is not None:
        return found
    if not _is_at(path, descriptor):
        return _in_use(path, None)  # its owner has just removed it
    before = Owner.read(path)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(asdict(owner)).encode())
    if locked is None:
        time.sleep(0.2)  # another process may write too: the last one gets the lock
    if Owner.read(path) != owner:
        return _in_use(path, Owner.read(path))
    if before is not None:
        logger.info("'%s' was in use by %s, which has ended; continuing.", path.parent, before)
    return None


def _conflict(path: Path, locked: bool | None) -> str | None:
    """Return which process holds a lock, given the result of `_flock`; None if it is free."""
    owner = Owner.read(path)
    if locked is False:
        return _in_use(path, owner)
    if owner is None or (locked and owner.is_here()):
        return None
    if owner.can_be_seen():
        return None if owner.has_ended() else _in_use(path, owner)
    age = _age(path)
    if age is None or age > STALE_SECONDS:
        return None
    return (
        f"{_in_use(path, owner)}. It last updated its lock {age:.0f} s ago; after "
        f"{STALE_SECONDS:.0f} s without an update it counts as ended. If you know that it "
        f"has ended, remove '{path}'"
    )


def _in_use(path: Path, owner: Owner | None) -> str:
    who = "" if owner is None else f" ({owner})"
    return (
        f"'{path.parent}' is in use by another process{who}; wait until it has ended, stop it, or "
        "choose another out"
    )


def _age(path: Path) -> float | None:
    """Return the seconds since the lock file was last updated."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):
            os.utime(path)


def _release(path: Path, owner: Owner, descriptor: int) -> None:
    """Remove the file while it is still locked, so that no other process's file is removed."""
    if Owner.read(path) == owner:
        with suppress(OSError):
            path.unlink()
    _held.discard(descriptor)
    with suppress(OSError):
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether a path still refers to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _flock(descriptor: int, *, exclusive: bool = True) -> bool | None:
    """Lock an open file: True; False if another process has locked it; None if unknown."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return None
        raise
    return True


def _close_in_children(descriptor: int) -> None:
    """Close the lock in forked processes: a loader worker may outlive a killed run."""
    if hasattr(os, "register_at_fork"):
        _register_once()
    _held.add(descriptor)


@cache
def _register_once() -> None:
    os.register_at_fork(after_in_child=_close_inherited)


def _close_inherited() -> None:
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _process_space() -> str:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _start_of(pid: int) -> str:
    """Return when a process was started, "ended" of a zombie; empty if it cannot be seen."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # those from 3 on in proc(5)
    if len(fields) < 20:
        return ""
    return "ended" if fields[0] in ("Z", "X") else fields[19]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "an unnamed user"
