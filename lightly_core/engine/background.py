"""Runs jobs one after another in a thread, and raises their errors in the thread that waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

Job = Callable[[], object]


class Background:
    """A queue of jobs for one thread.

    No two jobs run at the same time. After a job has failed, those behind it are skipped until the
    error has been raised, since a job may need the result of the one before it. The interpreter
    does not exit before the last job has ended.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []
        self._failed = False

    def submit(self, job: Job) -> None:
        """Run a job after those submitted before. Returns at once."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._pending.append(self._executor.submit(self._run, job))

    def raise_failure(self) -> None:
        """Raise the error of a job that has failed. Does not wait for a job that still runs."""
        if self._failed:
            self.wait()

    def wait(self) -> None:
        """Wait until all jobs have ended, and raise the first error.

        A signal handler may raise an exception meanwhile. A further call waits for the same jobs.
        """
        wait(self._pending)
        ended, self._pending = self._pending, []
        self._failed = False
        for future in ended:
            future.result()

    def close(self) -> None:
        """Wait as `wait` does, and end the thread. A later job starts a new one."""
        try:
            self.wait()
        finally:
            executor, self._executor = self._executor, None
            if executor is not None:
                executor.shutdown(wait=False)

    def _run(self, job: Job) -> None:
        if self._failed:
            return
        try:
            job()
        except BaseException:
            self._failed = True
            raise
