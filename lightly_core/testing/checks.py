"""Conformance checks, and their conversion to pytest tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import pytest

_SEED = 0


@dataclass(frozen=True)
class Check:
    """One requirement of a plugin. Call it without arguments. It raises if it is not met.

    Attributes:
        code: Short name, such as ``W4``; what `expected_failures` names.
        title: What must hold, in a few words with underscores.
        function: Does the work.
        subject: Which of several things is checked, such as a model; empty where there is one.
    """

    code: str
    title: str
    function: Callable[[], None]
    subject: str = ""

    @property
    def key(self) -> str:
        """The code, and in front of it the subject: ``resnet18:W4``."""
        return f"{self.subject}:{self.code}" if self.subject else self.code

    def __str__(self) -> str:
        return f"{self.key}-{self.title}"

    def __call__(self) -> None:
        """Run with a fixed seed, and restore the caller's random state.

        Raises:
            AssertionError: The claim does not hold; the message says what was found.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            self.function()


def parametrize_checks(
    checks: Iterable[Check], *, expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Turn every check into a separate pytest test.

    Example::

        @parametrize_checks(method_checks("simclr"))
        def test_contract(check):
            check()

    Args:
        checks: What `plugin_checks`, `model_library_checks` and the like give.
        expected_failures: Reason by check code, or by subject and code (``resnet18:W4``). Such a
            check must fail: when it passes, the test fails and the entry can go.

    Returns:
        A decorator for a test function with one argument, ``check``.

    Raises:
        ValueError: `expected_failures` names a check that is not among `checks`.
    """
    import pytest  # only test runs have it

    checks = list(checks)
    reasons = dict(expected_failures or {})
    names = {name: None for check in checks for name in (check.code, check.key)}
    unknown = sorted(reasons.keys() - names.keys())
    if unknown:
        known = ", ".join(names)
        raise ValueError(f"expected_failures names {unknown}; the checks are {known}")
    parameters = []
    for check in checks:
        reason = reasons.get(check.key, reasons.get(check.code))
        marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
        parameters.append(pytest.param(check, id=str(check), marks=marks))
    return pytest.mark.parametrize("check", parameters)


def require_close(
    found: Tensor,
    expected: Tensor,
    what: str,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-4,
) -> None:
    """Raise if two tensors differ by more than rounding.

    Args:
        found: Any tensor.
        expected: Another, of the same shape.
        what: Beginning of the message.
        rtol: Allowed fraction of each expected value.
        atol: Allowed fraction of the largest expected value.
    """
    shapes = tuple(found.shape), tuple(expected.shape)
    require(shapes[0] == shapes[1], f"{what}: shape {shapes[0]}, expected {shapes[1]}")
    if expected.numel() == 0:
        return
    scale = expected.abs().max().item()
    off = (found - expected).abs()
    require(
        (off <= rtol * expected.abs() + atol * scale).all(),  # not true for nan
        f"{what}: off by up to {off.max().item():.3g} in values of up to {scale:.3g}",
    )


def require(condition: object, message: str) -> None:
    """Raise if `condition` is false, unlike ``assert`` also under ``python -O``."""
    if not condition:
        raise AssertionError(message)
