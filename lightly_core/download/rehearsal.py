"""A rehearsal builds what a run would build, without weights, and downloads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


class NotFetchedError(Exception):
    """A rehearsal has come to where a file would be downloaded; it is no mistake of the user's."""


@contextmanager
def rehearsing() -> Iterator[None]:
    """Make `is_rehearsal` true for the time being."""
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)


def is_rehearsal() -> bool:
    """Tell whether networks are built only to see whether they can be."""
    return _rehearsing.get()


def stop_rehearsal(what: str) -> None:
    """End a rehearsal where a download would begin; in a run nothing happens.

    Args:
        what: The file, for the log.

    Raises:
        NotFetchedError: This is a rehearsal.
    """
    if is_rehearsal():
        raise NotFetchedError(f"{what} is not downloaded in a rehearsal")
