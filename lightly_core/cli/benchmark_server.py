"""Import what the rows of a suite need, and fork a process for each row, see `forking.py`.

``python -m lightly_core.cli.benchmark_server MODULE ...``. It reads one JSON object a line from the
standard input: the job of a row and its log. It writes the process id of the row, and when the row
has ended its exit code. It ends with the standard input.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lightly_core.cli import benchmark_row
from lightly_core.data.signals import stop_signals

#: Where device drivers are; a process that has opened one cannot be copied.
_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri")
#: Seed of torch's generator in new processes. Newer versions draw one.
_FIXED_SEED = 67280421310721


def main(modules: Sequence[str]) -> int:
    """Serve until the input ends; in the process of a row, run the row.

    Args:
        modules: Modules to import first.

    Returns:
        The exit code of the row; 0 in the server.
    """
    requests, replies = _take_streams()
    # A signal to all processes of a container is for the row, which saves.
    handlers = {number: signal.getsignal(number) for number in stop_signals()}
    for number in handlers:
        signal.signal(number, signal.SIG_IGN)
    _import(modules)
    gc.collect()
    gc.freeze()  # a search for garbage in a row would copy the memory of all these objects
    _reply(replies, problem=_problem())
    pid = 0
    for line in requests:
        _reap(pid)
        request = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, handlers)
        pid = os.fork()
        if pid == 0:
            requests.close()
            replies.close()
            _become_row(request, handlers)
            return benchmark_row.main([request["job"]])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
        _reply(replies, pid=pid)
        _reply(replies, code=_exit_code(pid))
    return 0


def _take_streams() -> tuple[IO[str], IO[str]]:
    """Return the standard streams, and let all others read and write nothing."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return requests, replies


def _import(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:  # the row fails in the same way, and reports it
            continue


def _problem() -> str | None:
    """Return why this process cannot be copied, or None."""
    if threading.active_count() > 1:
        return "a library has started a thread"
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:  # that of the search itself
            continue
        if target.startswith(_DEVICES):
            return f"a library has opened {target}"
    return None


def _reply(replies: IO[str], **message: Any) -> None:  # noqa: ANN401 - any JSON
    try:
        print(json.dumps(message), file=replies, flush=True)
    except BrokenPipeError:  # the suite was killed; its row goes on alone
        os._exit(0)


def _exit_code(pid: int) -> int:
    """Wait for the end of a process, and keep its id."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _reap(pid: int) -> None:
    if pid:
        os.waitpid(pid, 0)


def _become_row(request: Mapping[str, str], handlers: Mapping[signal.Signals, Any]) -> None:
    """Make this copy of the server a process like one that ``python -m`` has started."""
    os.setsid()  # a terminal's Ctrl-C is for the suite, which passes it on
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
    _seed_as_new()
    # The processes of further devices, and workers that are spawned, run the main module again.
    sys.modules["__main__"] = benchmark_row
    sys.argv = [str(benchmark_row.__file__), request["job"]]


def _seed_as_new() -> None:
    """Seed the generators as in a new process. Python seeds its own after a fork."""
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) is not None and torch.initial_seed() != _FIXED_SEED:
        torch.default_generator.seed()


if __name__ == "__main__":
    benchmark_row.end_with(lambda: main(sys.argv[1:]))
