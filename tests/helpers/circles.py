"""Which circle runs a parameter of a test, or a check of a model library."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from lightly_core.testing import Check, ModelExample, model_library_checks

#: Builds a model for each pattern of names, which takes seconds.
_SLOW = "N4"


def mark_others(mark: pytest.MarkDecorator, names: Iterable[Any], *first: Any) -> list[Any]:
    """Return all names as parameters, of which those besides `first` have a mark."""
    return [n if n in first else pytest.param(n, marks=mark) for n in names]


def first_checks(prefix: str, examples: Sequence[ModelExample]) -> list[Check]:
    """Return the checks of the library, and those of some models."""
    checks = model_library_checks(prefix, examples=examples)
    return [check for check in checks if check.code != _SLOW]


def second_checks(prefix: str, examples: Sequence[ModelExample]) -> list[Check]:
    """Return the checks of more models, and those of the library that `first_checks` leaves out."""
    checks = model_library_checks(prefix, examples=examples)
    return [check for check in checks if check.subject or check.code == _SLOW]
