"""Calls whose caller waits for a limited time."""

import threading

import pytest

from lightly_core.engine.limited import call_within


def test_what_the_function_returns_is_returned():
    assert call_within(30, lambda: 3) == 3


def test_an_error_of_the_function_is_raised():
    with pytest.raises(ZeroDivisionError):
        call_within(30, lambda: 1 / 0)


def test_a_function_that_does_not_return_is_left():
    go_on = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        call_within(0.05, go_on.wait)
    go_on.set()


def test_a_timeout_of_the_function_is_raised_as_it_is():
    def fail():
        raise TimeoutError("of the function")

    with pytest.raises(TimeoutError, match="of the function"):
        call_within(30, fail)
