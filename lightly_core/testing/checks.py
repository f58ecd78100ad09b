"""What a conformance check is, and how a list of them becomes tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import pytest

_SEED = 0


@dataclass(frozen=True)
class Check:
    """One thing that a plugin must hold; called without arguments, raises where it does not.

    Attributes:
        code: Short name, such as ``W4``; what `expected_failures` names.
        title: What must hold, in a few words with underscores.
        function: Does the work.
    """

    code: str
    title: str
    function: Callable[[], None]

    def __str__(self) -> str:
        return f"{self.code}-{self.title}"

    def __call__(self) -> None:
        """Run with a fixed seed; the caller's random state is kept.

        Raises:
            AssertionError: The claim does not hold; the message says what was found.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            self.function()


def parametrize_checks(
    checks: Iterable[Check], *, expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Make every check a pytest test of its own.

    Example::

        @parametrize_checks(method_checks("simclr"))
        def test_contract(check):
            check()

    Args:
        checks: What `plugin_checks`, `method_checks`, `wrapper_checks` or `logger_checks` give.
        expected_failures: Reason by check code. Such a check must fail: when it passes, the test
            fails and the entry can go.

    Returns:
        A decorator for a test function with one argument, ``check``.

    Raises:
        ValueError: `expected_failures` names a check that is not among `checks`.
    """
    import pytest  # only test runs have it

    checks = list(checks)
    reasons = dict(expected_failures or {})
    unknown = sorted(reasons.keys() - {check.code for check in checks})
    if unknown:
        known = ", ".join(check.code for check in checks)
        raise ValueError(f"expected_failures names {unknown}; the checks are {known}")
    parameters = [
        pytest.param(
            check,
            id=str(check),
            marks=[pytest.mark.xfail(reason=reasons[check.code], strict=True)]
            if check.code in reasons
            else [],
        )
        for check in checks
    ]
    return pytest.mark.parametrize("check", parameters)


def require(condition: object, message: str) -> None:
    """Raise where `condition` is false; unlike ``assert`` also under ``python -O``."""
    if not condition:
        raise AssertionError(message)
