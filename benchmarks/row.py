"""A row of the table: the programs that are compared, and the goal."""

from __future__ import annotations

from typing import Literal

from attrs import frozen


@frozen
class Program:
    """A command that measures one thing.

    Attributes:
        words: Arguments of the interpreter. ``@NAME`` in a word is a folder of photographs.
        code: Whose code runs: ours, that of a peer in the environment of the peers, or ours at the
            commit `benchmarks.measure.BEFORE`, from which some goals are counted.
        whole_process: Whether its value is the CPU time of its process, in seconds. If not, it
            prints the value, in a JSON object.
        value: Key of the value in that object.
    """

    words: tuple[str, ...]
    code: Literal["ours", "peer", "before"] = "ours"
    whole_process: bool = False
    value: str = "value"


@frozen
class Row:
    """One row of the table; smaller values are better.

    Attributes:
        name: What is measured.
        unit: Unit of the values.
        ours: Our program.
        peer: What it is compared with.
        peer_name: Name of that.
        least_ratio: Goal: the peer's value by ours is at least this.
        most: Goal: our value is at most this. It replaces `least_ratio`.
        bound: What bounds the value, as a sentence for the page if the goal is not reached.
    """

    name: str
    unit: str
    ours: Program
    peer: Program | None = None
    peer_name: str = ""
    least_ratio: float = 1.0
    most: float | None = None
    bound: str = ""


def program(
    name: str,
    *arguments: str,
    code: Literal["ours", "peer", "before"] = "ours",
    value: str = "value",
) -> Program:
    """Return the program of a module of `benchmarks.programs`."""
    return Program(("-m", f"benchmarks.programs.{name}", *arguments), code=code, value=value)
