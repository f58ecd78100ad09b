"""PNG files of every colour type, depth, filter and transparency."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from tools.hostile.case import Case, on_white, repeated
from tools.hostile.writers import png

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_NAMES = {0: "grey", 2: "rgb", 3: "palette", 4: "grey-alpha", 6: "rgb-alpha"}


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yield all combinations, about 150 files, with the written pixels as expected ones."""
    for kind, depths in _DEPTHS.items():
        for bits in depths:
            for transparent in (False, True) if kind in (0, 2, 3) else (False,):
                for style in range(6):
                    yield _case(rng, kind, bits, transparent, style)


def _case(rng: np.random.Generator, kind: int, bits: int, transparent: bool, style: int) -> Case:
    """Return one file. `style` is the filter; 5 means interlaced."""
    values = rng.integers(0, 2**bits, (11, 13, _SAMPLES[kind]))
    full = 2**bits - 1
    chunks = []
    alpha = np.ones(values.shape[:2])
    if kind == 3:
        palette = rng.integers(0, 256, (2**bits, 3))
        chunks.append((b"PLTE", palette.astype(np.uint8).tobytes()))
        shown = palette[values[:, :, 0]].astype(float)
        if transparent:
            opacities = rng.integers(0, 256, 2**bits)
            chunks.append((b"tRNS", opacities.astype(np.uint8).tobytes()))
            alpha = opacities[values[:, :, 0]] / 255
    else:
        colours = values[:, :, : 3 if kind in (2, 6) else 1]
        shown = (
            colours * (255 / full)
            if colours.shape[2] == 3
            else repeated(colours[:, :, 0] * (255 / full))
        )
        if kind in (4, 6):
            alpha = values[:, :, -1] / full
        elif transparent:
            absent = values[3, 4].tolist()
            chunks.append((b"tRNS", struct.pack(f">{len(absent)}H", *absent)))
            alpha = 1.0 - (values == values[3, 4]).all(axis=2)
    content = png(values, kind, bits, filter_kind=style % 5, interlaced=style == 5, chunks=chunks)
    name = f"{_NAMES[kind]}-{bits}{'-transparent' * transparent}-{style}.png"
    # Pillow keeps the upper byte of 16 bit colours, an error of up to a level. Alpha adds another.
    tolerance = 1.1 if bits == 16 and kind != 0 else 0.6
    return Case(
        "PNG, every layout",
        name.encode(),
        content,
        expected=on_white(shown, alpha),
        tolerance=tolerance,
    )
