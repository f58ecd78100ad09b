"""TIFF files of 1 to 16 bands, of every type, byte order and layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.hostile.case import Case, on_white, repeated
from tools.hostile.writers import tiff

_TYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
_ORIENTATIONS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yield about 300 files."""
    yield from _bands(rng)
    yield from _depths(rng)
    yield from _colours(rng)
    yield from _ranges(rng)


def _random(rng: np.random.Generator, kind: str, bands: int) -> npt.NDArray[Any]:
    """Return values (11, 13, bands) that can be read without `value_range`."""
    size = (11, 13, bands)
    if kind[0] == "f":
        return rng.random(size).astype(kind)
    return rng.integers(0, min(2 ** (8 * int(kind[1]) - (kind[0] == "i")), 65536), size).astype(
        kind
    )


def _seen(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Scale values to [0, 255] by the rules in docs/images.md."""
    if values.dtype.kind == "f":
        return values.astype(np.float64) * 255
    return values * (1.0 if values.dtype.itemsize == 1 else 255 / 65535)


def _bands(rng: np.random.Generator) -> Iterator[Case]:
    layouts = itertools.product((1, 2, 4, 5, 6, 13, 16), _TYPES, ("<", ">"), (False, True))
    for number, (bands, kind, order, planar) in enumerate(layouts):
        values = _random(rng, kind, bands)
        content = tiff(
            values,
            8 * int(kind[1]),
            order=order,
            planar=planar and bands > 1,
            extras=[0] * (bands - 1),
            big=number % 5 == 0,
            deflated=number % 3 == 0,
        )
        name = f"bands-{bands}-{kind}-{'le' if order == '<' else 'be'}{'-planar' * planar}.tif"
        yield Case(
            "TIFF, 1 to 16 bands", name.encode(), content, expected=_seen(values), channels=bands
        )
    for bands in (4, 13):
        content = tiff(_random(rng, "u2", bands), 16, extras=[0] * (bands - 1))
        reason = f"TIFF with {bands} bands of 16 bit, expected 3"
        name = f"refused-{bands}.tif".encode()
        yield Case("TIFF, 1 to 16 bands", name, content, must="listed", reason=reason)


def _depths(rng: np.random.Generator) -> Iterator[Case]:
    for bits, order, inverted in itertools.product(
        (1, 2, 4, 6, 8, 10, 12, 14, 16, 24), "<>", (False, True)
    ):
        values = rng.integers(0, 2**bits, (11, 14, 1)).astype("u4" if bits > 16 else "u2")
        content = tiff(values, bits, order=order, photometric=0 if inverted else 1)
        fraction = values[:, :, 0] / (2**bits - 1)
        expected = repeated(255 * (1 - fraction if inverted else fraction))
        name = f"depth-{bits}-{'le' if order == '<' else 'be'}{'-inverted' * inverted}.tif"
        yield Case("TIFF, 1 to 24 bit grey", name.encode(), content, expected=expected)


def _colours(rng: np.random.Generator) -> Iterator[Case]:
    """Yield RGB with alpha or further bands, palettes, orientations; read with 3 channels."""
    row = "TIFF, colours and alpha"
    for kind, order, planar in itertools.product(("u1", "u2", "f4"), "<>", (False, True)):
        bits = 8 * int(kind[1])
        for extra in (0, 1, 2):
            values = _random(rng, kind, 4)
            if extra == 1:  # premultiplied colours are never above alpha
                values[:, :, :3] = np.minimum(values[:, :, :3], values[:, :, 3:])
            seen = _seen(values)
            if extra == 1:
                expected = seen[:, :, :3] + 255 - seen[:, :, 3:]
            elif extra == 2:
                expected = on_white(seen[:, :, :3], seen[:, :, 3] / 255)
            else:
                expected = seen[:, :, :3]
            content = tiff(values, bits, order=order, planar=planar, photometric=2, extras=[extra])
            name = (
                f"rgb-{kind}-{'le' if order == '<' else 'be'}{'-planar' * planar}-extra{extra}.tif"
            )
            yield Case(row, name.encode(), content, expected=expected, tolerance=1.6)
    for bits in (1, 2, 4, 8):
        palette = rng.integers(0, 65536, (3, 2**bits))
        values = rng.integers(0, 2**bits, (11, 16, 1)).astype("u1")
        content = tiff(values, bits, photometric=3, tags=[(320, "H", palette.ravel().tolist())])
        expected = palette.T[values[:, :, 0]] / 257
        yield Case(row, f"palette-{bits}.tif".encode(), content, expected=expected, tolerance=1.1)
    upright = _random(rng, "u2", 4)
    for orientation, rotate in _ORIENTATIONS.items():
        stored = np.ascontiguousarray(rotate(upright))
        content = tiff(stored, 16, extras=[0] * 3, tags=[(274, "H", [orientation])])
        name = f"bands-rotated-{orientation}.tif".encode()
        yield Case(row, name, content, expected=_seen(upright), channels=4)


def _ranges(rng: np.random.Generator) -> Iterator[Case]:
    """Yield values that no rule can scale, with and without `value_range`."""
    row = "TIFF, values of any range"
    ranges = {
        "i2": (-1000, 1000),
        "i4": (-70000, 70000),
        "u4": (0, 10**6),
        "f4": (250, 350),
        "f8": (-1, 1),
    }
    for kind, (low, high) in ranges.items():
        for bands in (1, 3):
            values = rng.uniform(low, high, (11, 13, bands)).astype(kind)
            photometric = 2 if bands == 3 else 1
            content = tiff(values, 8 * int(kind[1]), photometric=photometric)
            scaled = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255
            expected = scaled if bands == 3 else repeated(scaled[:, :, 0])
            name = f"range-{kind}-{bands}.tif"
            yield Case(row, name.encode(), content, expected=expected, value_range=(low, high))
            yield Case(row, f"no-{name}".encode(), content, must="listed", reason="value_range")
    values = rng.integers(0, 10001, (11, 13, 3)).astype("u2")
    content = tiff(values, 16, photometric=2)
    yield Case(row, b"reflectance.tif", content, expected=values * 0.0255, value_range=(0, 10000))
    broken = np.full((5, 5, 1), np.nan, "f4")
    yield Case(row, b"nan.tif", tiff(broken, 32), must="listed", reason="float pixels")
