"""One check: a name, and a function that measures something or raises."""

from collections.abc import Callable
from pathlib import Path

from attrs import define


@define(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        name: What is checked, in words. ``--only`` searches in it.
        function: Takes an empty folder. It returns a figure, such as ``3,000 images/s``, and raises
            if the result is not the expected one.
    """

    name: str
    function: Callable[[Path], str]
