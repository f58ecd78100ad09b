"""Signs of life that the processes of a run exchange, and the reason why one of them ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import astuple, define, evolve

_FAILURE, _SUSPICION = "failure", "suspicion"
#: Signs of life that may be missing once a collective operation has failed.
_MISSING_SIGNS = 3


class Store(Protocol):
    """The part of `torch.distributed.Store` that is used."""

    def set(self, key: str, value: str) -> None:
        """Write a value."""

    def get(self, key: str) -> bytes:
        """Read a value that exists."""

    def check(self, keys: list[str]) -> bool:
        """Return whether all keys exist."""

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        """Write a value if the key has the expected one, or none and "" is expected."""


@define(frozen=True)
class Failure:
    """Why the processes of a run end.

    Attributes:
        rank: Process that failed first.
        text: What happened to it, in a sentence without a full stop.
    """

    rank: int
    text: str


@define(frozen=True)
class Sign:
    """What a process last said.

    Attributes:
        number: Counts the signs of the process.
        position: Counts the phases of the training that it has begun; equal work has equal numbers.
        phase: What it is doing, such as "in a step".
        place: Lines of code of its main thread, if it has been there since the sign before.
        waits: Whether these lines wait for other processes.
        ended: Whether it has left the training.
    """

    number: int = 0
    position: int = 0
    phase: str = "starting"
    place: str = ""
    waits: bool = False
    ended: bool = False


@define
class _Heard:
    sign: Sign
    at: float


class Peers:
    """One process's view of all processes of a run.

    The first process watches all others, and the others watch the first. What one process finds is
    stored for all of them.

    Args:
        store: Store that all processes share.
        rank: Number of this process.
        world_size: Number of processes.
        who: Machine and process ID of this process, for messages.
        interval: Seconds between two calls of `beat`.
        silent_after: Seconds without a sign of life after which a process counts as ended.
        stalled_after: Seconds without progress of any process after which the run hangs.
        clock: Returns seconds.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        world_size: int,
        who: str,
        *,
        interval: float,
        silent_after: float,
        stalled_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self.rank = rank
        self._world_size = world_size
        self._interval = interval
        self._silent_after = silent_after
        self._stalled_after = stalled_after
        self._clock = clock
        self._own = Sign()
        now = clock()
        watched = range(1, world_size) if rank == 0 else range(1)
        self._heard = {other: _Heard(Sign(), now) for other in watched}
        self._progress_at = self._beat_at = now
        store.set(f"who/{rank}", who)

    def beat(self, position: int, phase: str, place: str, waits: bool = False) -> Failure | None:
        """Give a sign of life and look at those of the others.

        Args:
            position: See `Sign`.
            phase: See `Sign`.
            place: See `Sign`.
            waits: See `Sign`.

        Returns:
            The failure that ends the run; None: there is none.
        """
        self._forget_own_pause()
        place = place if position == self._own.position else ""
        self._say(Sign(self._own.number + 1, position, phase, place, waits and bool(place)))
        if self._store.check([_FAILURE]):
            return self._failure()
        self._listen()
        found = self._silent() or (self._stalled() if self.rank == 0 else None)
        return None if found is None else self.declare(found)

    def declare(self, failure: Failure) -> Failure:
        """Store a failure for all processes; return the one that was stored first."""
        text = json.dumps([failure.rank, failure.text])
        self._store.compare_set(_FAILURE, "", text)
        return self._failure()

    def suspect(self) -> None:
        """Let every process wait less for signs of life, since a collective operation failed."""
        self._store.set(_SUSPICION, str(self.rank))

    def end(self) -> None:
        """Say that this process has left the training."""
        self._say(evolve(self._own, number=self._own.number + 1, ended=True))

    def name(self, rank: int) -> str:
        """Return a process's rank, machine and process ID, for messages."""
        known = self._store.check([f"who/{rank}"])
        who = f" ({self._store.get(f'who/{rank}').decode()})" if known else ""
        return f"rank {rank} of {self._world_size}{who}"

    def _forget_own_pause(self) -> None:
        """Wait longer for the others after this process was stopped itself, as in a suspended job.

        The others were stopped too, or have recorded the failure.
        """
        now = self._clock()
        pause = now - self._beat_at - self._interval
        self._beat_at = now
        if pause > self._interval:
            self._progress_at += pause
            for heard in self._heard.values():
                heard.at += pause

    def _say(self, sign: Sign) -> None:
        if sign.position != self._own.position:
            self._progress_at = self._clock()
        self._own = sign
        self._store.set(f"sign/{self.rank}", json.dumps(astuple(sign)))

    def _listen(self) -> None:
        now = self._clock()
        for rank, heard in self._heard.items():
            if heard.sign.ended or not self._store.check([f"sign/{rank}"]):
                continue
            sign = Sign(*json.loads(self._store.get(f"sign/{rank}")))
            if sign.number != heard.sign.number:
                if sign.position != heard.sign.position:
                    self._progress_at = now
                heard.sign, heard.at = sign, now

    def _silent(self) -> Failure | None:
        limit = self._silent_after
        if self._store.check([_SUSPICION]):
            limit = min(limit, _MISSING_SIGNS * self._interval)
        for rank, heard in self._heard.items():
            seconds = self._clock() - heard.at
            if seconds > limit and not heard.sign.ended:
                return Failure(
                    rank,
                    f"{self.name(rank)} has given no sign of life for {seconds:.0f} s: it was "
                    "killed or stopped, or its machine cannot be reached",
                )
        return None

    def _stalled(self) -> Failure | None:
        seconds = self._clock() - self._progress_at
        if seconds <= self._stalled_after:
            return None
        signs = {self.rank: self._own, **{rank: one.sign for rank, one in self._heard.items()}}
        signs = {rank: sign for rank, sign in signs.items() if not sign.ended}
        least = min(sign.position for sign in signs.values())
        last = [rank for rank, sign in signs.items() if sign.position == least]
        behind = [rank for rank in last if not signs[rank].waits] or last
        return Failure(
            behind[0],
            f"no process has made progress for {seconds:.0f} s (process_timeout="
            f"{self._stalled_after:g}): {'; '.join(self._positions(behind, signs))}",
        )

    def _positions(self, ranks: Sequence[int], signs: dict[int, Sign]) -> list[str]:
        """Say where processes are. If only some are behind, the others wait for them."""
        shown = [
            f"{self.name(rank)} is {signs[rank].phase}"
            + (f", at {signs[rank].place}" if signs[rank].place else "")
            for rank in ranks[:4]
        ]
        waiting = len(signs) - len(ranks)
        more = [f"{len(ranks) - 4} more are in the same phase"] if len(ranks) > 4 else []
        return [*shown, *more, *([f"{waiting} wait for it"] if waiting else [])]

    def _failure(self) -> Failure:
        rank, text = json.loads(self._store.get(_FAILURE))
        return Failure(rank, text)
