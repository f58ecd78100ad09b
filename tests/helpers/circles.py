"""Which checks of a model library the first circle runs, and which the second."""

from collections.abc import Sequence

from lightly_core.testing import Check, ModelExample, model_library_checks

#: Builds a model for each pattern of names, which takes seconds.
_SLOW = "N4"


def first_checks(prefix: str, examples: Sequence[ModelExample]) -> list[Check]:
    """Return the checks of the library, and those of some models."""
    checks = model_library_checks(prefix, examples=examples)
    return [check for check in checks if check.code != _SLOW]


def second_checks(prefix: str, examples: Sequence[ModelExample]) -> list[Check]:
    """Return the checks of more models, and those of the library that `first_checks` leaves out."""
    checks = model_library_checks(prefix, examples=examples)
    return [check for check in checks if check.subject or check.code == _SLOW]
