"""Worker processes that run functions together, for tests of distributed code.

Starting a process takes seconds, most of it the import of torch. `ProcessGroup` starts its
processes once and sends them any number of functions. `shared_pair` and `shared_group` give the
tests of a session the same processes::

    def losses(rank, inputs):
        return my_loss(inputs.chunk(2)[rank])

    def test_two_processes():
        first, second = shared_pair().run(losses, torch.randn(8, 5))

Only POSIX systems are supported.
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import FunctionType, ModuleType, TracebackType
from typing import IO, TypeVar, cast

import torch
import torch.distributed as dist

T = TypeVar("T")

_SECONDS_TO_START = 300.0
# After one process has failed, the others may still report an error of its own.
_SECONDS_AFTER_A_FAILURE = 2.0
# A process that hangs ends itself with a traceback; the caller kills it if it does not.
_SECONDS_FOR_A_TRACEBACK = 10.0


class ProcessGroup:
    """Processes in one process group with the backend ``gloo``, on the CPU.

    They start at the first call of `run`, import modules once, and use one thread each.

    Args:
        size: Number of processes, at least 1.
        processes: The processes to use. None: its own.
    """

    def __init__(self, size: int = 2, processes: _Processes | None = None) -> None:
        self.size = size
        self._processes = _Processes() if processes is None else processes

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self, function: Callable[..., T], *args: object, seconds: float = 600.0
    ) -> tuple[T, ...]:
        """Call ``function(rank, *args)`` in all processes.

        Arguments and results are pickled: tensors, numbers, and containers of them.

        Args:
            function: A function at the top level of a module, which the processes import.
            *args: Its arguments after the rank.
            seconds: Time limit of the call.

        Returns:
            The results in the order of the ranks.

        Raises:
            RuntimeError: A process raised an error, died, or took too long. The message has the
                output of all. The next call starts new processes.
        """
        task = pickle.dumps((_location_of(function), args, seconds))
        try:
            self._processes.join(self.size)
            answers = self._processes.ask(task, self.size, function.__name__, seconds)
        except BaseException:
            self.close()
            raise
        return tuple(cast(list[T], answers))

    def close(self) -> None:
        """End the processes."""
        self._processes.end()


@cache
def shared_group(size: int) -> ProcessGroup:
    """Return the group of `size` processes that all tests of this process share.

    Groups of different sizes use the same processes, one after the other. They end with this
    process.
    """
    return ProcessGroup(size, _shared_processes())


def shared_pair() -> ProcessGroup:
    """Return the shared group of two processes."""
    return shared_group(2)


@cache
def _shared_processes() -> _Processes:
    processes = _Processes()
    atexit.register(processes.end)
    return processes


class _Processes:
    """Processes of which the first ones form a process group."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._workers: list[_Worker] = []
        self._size = 0
        self._num_groups = 0

    def join(self, size: int) -> None:
        """Let the first `size` processes form the group. Start those that are missing."""
        if size == self._size:
            return
        started = len(self._workers)
        for rank in range(started, size):
            self._workers.append(_Worker(rank))
        if started < size:
            self._answers(range(started, size), "start", _SECONDS_TO_START)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        self._num_groups += 1
        rendezvous = str(Path(self._folder.name) / f"rendezvous{self._num_groups}")
        task = pickle.dumps((_location_of(_regroup), (size, rendezvous), _SECONDS_TO_START))
        # Processes beyond the group leave the one that they were in.
        self.ask(task, len(self._workers), "start", _SECONDS_TO_START)
        self._size = size

    def ask(self, task: bytes, count: int, name: str, seconds: float) -> list[object]:
        """Return the results of a task of the first `count` processes. Raise if one has failed."""
        for worker in self._workers[:count]:
            worker.send(task)
        return self._answers(range(count), name, seconds)

    def end(self) -> list[str]:
        """End the processes. Return the output of each since the start of the last call."""
        outputs = [worker.end() for worker in self._workers]
        self._workers, self._size = [], 0
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        return outputs

    def _answers(self, ranks: range, name: str, seconds: float) -> list[object]:
        # For each process, whether it succeeded, and its result or a description of the failure.
        late = (False, "did not answer in time")
        found: dict[int, tuple[bool, object]] = dict.fromkeys(ranks, late)
        waiting = {self._workers[rank].connection: rank for rank in ranks}
        deadline = time.monotonic() + seconds + _SECONDS_FOR_A_TRACEBACK
        while waiting:
            ready = wait(list(waiting), max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for connection in cast(list[Connection], ready):
                rank = waiting.pop(connection)
                found[rank] = self._workers[rank].answer()
                if not found[rank][0]:
                    deadline = min(deadline, time.monotonic() + _SECONDS_AFTER_A_FAILURE)
        if all(ok for ok, _ in found.values()):
            return [answer for _, answer in found.values()]
        parts = [f"'{name}' failed in a group of {len(ranks)} processes."]
        outputs = self.end()
        for rank, (_, state) in found.items():
            parts.append(f"Process {rank} {state}. Its output:\n{outputs[rank]}")
        raise RuntimeError("\n\n".join(parts))


class _Worker:
    """The caller's connection to one of the processes."""

    def __init__(self, rank: int) -> None:
        self.connection, theirs = Pipe()
        # Opened for appending, so seeking here does not change where the process writes.
        self._file: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._read_from = 0
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from lightly_core.testing.processes import serve; "
            f"serve({rank}, {theirs.fileno()})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def send(self, task: bytes) -> None:
        self._read_from = self._file.seek(0, os.SEEK_END)
        try:
            self.connection.send_bytes(task)
        except BrokenPipeError:
            return  # It has died, which `answer` reports.

    def answer(self) -> tuple[bool, object]:
        try:
            data = self.connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            return False, f"ended with exit status {self._process.wait()}"
        ok, value = pickle.loads(data)
        return (True, value) if ok else (False, "raised an error")

    def end(self) -> str:
        """End the process. Return its output since the last task was sent."""
        self.connection.close()
        self._process.kill()
        self._process.wait()
        with self._file:
            self._file.seek(self._read_from)
            return self._file.read().decode(errors="replace")


def _location_of(function: Callable[..., object]) -> tuple[str, str, str]:
    """Return module, file and name of a function, for another process to import it."""
    if not isinstance(function, FunctionType) or function.__qualname__ != function.__name__:
        raise ValueError(f"{function} is not a function at the top level of a module")
    return function.__module__, function.__code__.co_filename, function.__name__


# ------------------------------------------------------------------ in the processes


def serve(rank: int, descriptor: int) -> None:
    """Entry point of a process: run functions until the other end of the pipe is closed."""
    torch.set_num_threads(1)
    with Connection(descriptor) as connection:
        connection.send_bytes(pickle.dumps((True, None)))
        while True:
            try:
                task = connection.recv_bytes()
            except EOFError:
                break
            connection.send_bytes(_answer(rank, task))
    os._exit(0)  # `destroy_process_group` would wait for the other processes.


def _regroup(rank: int, size: int, rendezvous: str) -> None:
    """Leave the process group, and join the new one as one of its first `size` processes."""
    if dist.is_initialized():
        dist.destroy_process_group()
    if rank < size:
        method = f"file://{rendezvous}"
        dist.init_process_group("gloo", init_method=method, rank=rank, world_size=size)


def _answer(rank: int, task: bytes) -> bytes:
    try:
        (module, file, name), args, seconds = pickle.loads(task)
        function = getattr(_load(module, file), name)
        faulthandler.dump_traceback_later(seconds, exit=True)
        answer = pickle.dumps((True, function(rank, *args)))
    except BaseException:
        traceback.print_exc()
        answer = pickle.dumps((False, None))
    finally:
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.flush()
    return answer


def _load(name: str, file: str) -> ModuleType:
    """Import a module by its name, or from its file if the name refers to another file."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        pass
    else:
        if getattr(module, "__file__", None) == file:
            return module
    return _from_file(name, file)


@cache
def _from_file(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_process_group_{name.replace('.', '_')}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module in {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
