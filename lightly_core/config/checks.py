"""Validators for attrs fields, beside those that attrs brings."""

from __future__ import annotations

import math
from typing import Any


def finite(instance: object, attribute: Any, value: float | None) -> None:
    """Refuse nan and infinities, which every comparison lets through or ties up."""
    if value is not None and not math.isfinite(value):
        raise ValueError(f"'{attribute.name}' must be a finite number, got {value}")


def probability(instance: object, attribute: Any, value: float | None) -> None:
    """Accept a number in [0, 1], or None."""
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"'{attribute.name}' must be a probability in [0, 1], got {value}")


def increasing_pair(instance: object, attribute: Any, value: tuple[float, float]) -> None:
    """Accept two finite numbers, both >= 0, the first not above the second."""
    low, high = value
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= low <= high):
        raise ValueError(
            f"'{attribute.name}' must be two numbers with 0 <= first <= second, got {value}"
        )
