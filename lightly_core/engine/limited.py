"""A call that may never return, with a limit on the time that its caller waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

#: Parts of the time. While this process itself is stopped, one part passes at most.
_PARTS = 20


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """Return what a function returns, unless it takes too long.

    The function runs in a daemon thread. Use it for calls without a timeout of their own, such as
    a read of a socket whose other end is stopped. A thread cannot be ended: after the time the
    function goes on, and what it returns is dropped.

    Args:
        seconds: Time to wait. Time in which this process is stopped, as in a suspended job, does
            not count.
        function: Takes no arguments.

    Raises:
        TimeoutError: The function has not returned. Its own exceptions are raised as they are.
    """
    result: Future[T] = Future()

    def call() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=call, name="lightly-limited", daemon=True)
    thread.start()
    for _ in range(_PARTS):
        thread.join(seconds / _PARTS)
        if result.done():
            return result.result()
    raise TimeoutError(f"no answer within {seconds:g} s")
