"""A rehearsal builds the networks of a run without weights. It downloads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


class NotFetchedError(Exception):
    """A rehearsal has reached a download. This is not a mistake of the user."""


@contextmanager
def rehearsing() -> Iterator[None]:
    """Make `is_rehearsal` true within the context."""
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)


def is_rehearsal() -> bool:
    """Return whether networks are built only to check that they can be."""
    return _rehearsing.get()


def stop_rehearsal(what: str) -> None:
    """End a rehearsal before a download. Outside of a rehearsal nothing happens.

    Args:
        what: The file, for the log.

    Raises:
        NotFetchedError: This is a rehearsal.
    """
    if is_rehearsal():
        raise NotFetchedError(f"{what} is not downloaded in a rehearsal")
