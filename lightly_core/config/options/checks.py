"""Validators for attrs fields, in addition to those of attrs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from attrs import Attribute
from attrs.validators import and_, ge, gt, le, lt

from lightly_core.errors import did_you_mean

#: Longest side of a view in pixels. A square view of this size takes 3 GiB as float32.
MOST_PIXELS = 16_384
#: Most loader processes of one device. Each takes at least 100 MB of memory.
MOST_WORKERS = 1_024

Check = Callable[[Any, "Attribute[Any]", Any], Any]


def finite(instance: object, attribute: Attribute[Any], value: float | None) -> None:
    """Refuse nan and infinities. Comparisons alone would accept some of them."""
    if value is not None and not math.isfinite(value):
        raise ValueError(f"'{attribute.name}' must be a finite number, got {value}")


positive: Check = and_(finite, gt(0))
not_negative: Check = and_(finite, ge(0))
zero_to_one: Check = and_(finite, ge(0), le(1))
below_one: Check = and_(finite, ge(0), lt(1))
above_zero_to_one: Check = and_(finite, gt(0), le(1))


def auto_or(check: Check) -> Callable[..., None]:
    """Return a validator that accepts "auto" and passes every other value to `check`."""

    def validate(instance: object, attribute: Attribute[Any], value: object) -> None:
        if value != "auto":
            check(instance, attribute, value)

    return validate


def probability(instance: object, attribute: Attribute[Any], value: float | None) -> None:
    """Accept a number in [0, 1], or None."""
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"'{attribute.name}' must be a probability in [0, 1], got {value}")


def increasing_pair(
    instance: object, attribute: Attribute[Any], value: tuple[float, float]
) -> None:
    """Accept two finite numbers, both >= 0, the first not above the second."""
    low, high = value
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= low <= high):
        raise ValueError(
            f"'{attribute.name}' must be two numbers with 0 <= first <= second, got {value}"
        )


def value_range(
    instance: object, attribute: Attribute[Any], value: tuple[float, float] | None
) -> None:
    """Accept two finite numbers, the first below the second, or None."""
    if value is not None and not (all(map(math.isfinite, value)) and value[0] < value[1]):
        raise ValueError(
            f"'{attribute.name}' must be two finite numbers, the first below the second, "
            f"got {value}"
        )


def workers(instance: object, attribute: Attribute[Any], value: int | str) -> None:
    """Accept a number of processes from 0 to `MOST_WORKERS`, or "auto"."""
    if isinstance(value, int) and value < 0:
        raise ValueError(f"'{attribute.name}' must be >= 0 or 'auto', got {value}")
    if isinstance(value, int) and value > MOST_WORKERS:
        raise ValueError(
            f"'{attribute.name}' must be <= {MOST_WORKERS} processes or 'auto', got {value}"
        )


def sizes(instance: object, attribute: Attribute[Any], value: int | tuple[int, int]) -> None:
    """Accept one or two numbers of pixels from 1 to `MOST_PIXELS`."""
    sides = value if isinstance(value, tuple) else (value,)
    if min(sides) < 1:
        raise ValueError(f"'{attribute.name}' must be >= 1 pixel, got {value}")
    if max(sides) > MOST_PIXELS:
        raise ValueError(f"'{attribute.name}' must be <= {MOST_PIXELS} pixels, got {value}")


def finite_numbers(instance: object, attribute: Attribute[Any], value: tuple[float, ...]) -> None:
    """Refuse nan and infinities in a list of numbers."""
    if not all(math.isfinite(number) for number in value):
        raise ValueError(f"'{attribute.name}' must be finite numbers, got {value}")


def unit_means(instance: object, attribute: Attribute[Any], value: tuple[float, ...]) -> None:
    """Accept means of pixels that are in [0, 1]."""
    finite_numbers(instance, attribute, value)
    if all(0 <= number <= 1 for number in value):
        return
    raise ValueError(
        f"'{attribute.name}' must be numbers in [0, 1], as pixels are, got {value}{_divided(value)}"
    )


def unit_deviations(instance: object, attribute: Attribute[Any], value: tuple[float, ...]) -> None:
    """Accept standard deviations of pixels that are in [0, 1]."""
    finite_numbers(instance, attribute, value)
    if all(0 < number <= 1 for number in value):
        return
    raise ValueError(
        f"'{attribute.name}' must be numbers in (0, 1], as pixels are in [0, 1], got {value}"
        f"{_divided(value)}"
    )


def _divided(numbers: tuple[float, ...]) -> str:
    """Return a hint with the values for pixels in [0, 1], if these look like 8 or 16 bit values."""
    most = next((most for most in (255, 65535) if 1 < max(numbers, default=0) <= most), None)
    if most is None or min(numbers) < 0:
        return ""
    shown = ", ".join(f"{number / most:.3g}" for number in numbers)
    return f"; for pixels in [0, {most}] divide by {most}: [{shown}]"


def not_empty(instance: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse an empty string and an empty list. Other objects are accepted."""
    if isinstance(value, (str, list)) and not value:
        raise ValueError(f"'{attribute.name}' must not be empty")


class OneOf:
    """A validator that accepts these words, and everything that is no string.

    Args:
        words: The words.
    """

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, instance: object, attribute: Attribute[Any], value: object) -> None:
        """Refuse other words."""
        if not isinstance(value, str) or value in self.words:
            return
        hint = did_you_mean(value, self.words)
        raise ValueError(
            f"'{attribute.name}' must be one of {', '.join(self.words)}, got '{value}'"
            f"{f', {hint}' if hint else ''}"
        )


def one_of(*words: str) -> OneOf:
    """Return a validator that accepts these words. Values that are not strings are accepted."""
    return OneOf(*words)


def epochs_between(instance: object, attribute: Attribute[Any], value: object) -> None:
    """Accept a number of epochs >= 1, a word or None."""
    if isinstance(value, int) and value < 1:
        raise ValueError(f"'{attribute.name}' must be >= 1 or 'auto', got {value}")


def devices(instance: object, attribute: Attribute[Any], value: int | str | list[int]) -> None:
    """Accept every value that `read_devices` accepts."""
    read_devices(value)


def read_devices(value: int | str | list[int]) -> int | list[int] | None:
    """Read the setting `devices`.

    Args:
        value: "auto", a number (-1 means all), the numbers of the devices, or one of the last two
            as text: "2" is a number of devices, "0,1" are two of them.

    Returns:
        A number of devices, their numbers, or None for "auto" and all.

    Raises:
        ValueError: It is none of these.
    """
    read = value
    if isinstance(value, str):
        if value.strip() == "auto":
            return None
        words = [word.strip() for word in value.split(",")]
        try:
            # With a comma at the end, one number is the number of a device: "1," is device 1.
            read = [int(word) for word in words if word] if len(words) > 1 else int(value)
        except ValueError:
            read = []
    if read == -1:
        return None
    if isinstance(read, int) and read >= 1:
        return read
    if isinstance(read, list) and read and min(read) >= 0 and len(set(read)) == len(read):
        return read
    raise ValueError(
        "'devices' must be 'auto', a number >= 1, -1 (all) or different device numbers such as "
        f"'0,1' or [0, 1], got {value!r}"
    )
