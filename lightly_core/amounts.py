"""Numbers of bytes as text."""

from __future__ import annotations

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def bytes_text(number: float) -> str:
    """Return a number of bytes in the largest decimal unit that it fills, such as "2.5 kB"."""
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.1f} {unit}"
    whole = round(number)
    return "1 byte" if whole == 1 else f"{whole} bytes"
