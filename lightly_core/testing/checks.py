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
    """One requirement of a plugin. Call it without arguments; it raises if it is not met.

    Attributes:
        code: Short name, such as ``W4``, for use in `expected_failures`.
        title: What must hold, in a few words with underscores.
        function: Raises `AssertionError` if the requirement is not met.
        subject: What is checked, such as a model. Empty if there is only one subject.
    """

    code: str
    title: str
    function: Callable[[], None]
    subject: str = ""

    @property
    def key(self) -> str:
        """The code, prefixed with the subject if there is one: ``resnet18:W4``."""
        return f"{self.subject}:{self.code}" if self.subject else self.code

    def __str__(self) -> str:
        return f"{self.key}-{self.title}"

    def __call__(self) -> None:
        """Run with a fixed seed, and restore the caller's random state.

        Raises:
            AssertionError: The requirement is not met; the message states what was found.
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
        checks: Results of `plugin_checks`, `model_library_checks` and similar functions.
        expected_failures: Reason by check code, or by subject and code (``resnet18:W4``). Such a
            check must fail. If it passes, the test fails; remove the entry then.

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
        raise ValueError(f"expected_failures has unknown entries {unknown}; the checks are {known}")
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
        found: The tensor to compare.
        expected: The expected tensor.
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
    """Raise if `condition` is false. Unlike ``assert``, this works under ``python -O`` too."""
    if not condition:
        raise AssertionError(message)
