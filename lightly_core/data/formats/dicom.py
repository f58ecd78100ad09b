"""DICOM files through pydicom, an extra of this package.

Rules: the first frame is used. Grey values are those of the modality, such as Hounsfield units.
They are scaled to [0, 1] by `value_range`, else by the file's first window, else by the range of
its stored bits. "Monochrome 1" is inverted, so that larger values are brighter.
"""

from __future__ import annotations

import importlib
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lightly_core.data.pixels import (
    UnreadableImage,
    ValueRange,
    fit_channels,
    refuse_bomb,
    to_unit,
)


def read_dicom(file: IO[bytes], num_channels: int, value_range: ValueRange) -> npt.NDArray[Any]:
    """Read the first frame of a file.

    Args:
        file: The file.
        num_channels: Channels to return, C.
        value_range: Values that are mapped to 0 and 1, in units of the modality; None: see above.

    Returns:
        (H, W, C) uint8 for colours of 8 bit, else float32 in [0, 1].

    Raises:
        UnreadableImage: pydicom is not installed, or the file holds no image.
        Exception: The file is broken, or compressed in a way that pydicom cannot undo.
    """
    try:
        pydicom: Any = importlib.import_module("pydicom")
        steps: Any = importlib.import_module("pydicom.pixels")
    except ImportError:
        raise UnreadableImage("DICOM; install pydicom to read it") from None
    dataset = pydicom.dcmread(file)
    if not all(name in dataset for name in ("PixelData", "Rows", "Columns")):
        raise UnreadableImage("DICOM without an image")
    samples = int(dataset.get("SamplesPerPixel", 1))
    refuse_bomb(int(dataset.Columns), int(dataset.Rows), samples)
    pixels: npt.NDArray[Any] = steps.pixel_array(dataset, index=0)  # (H, W) or (H, W, 3)
    kind = str(dataset.get("PhotometricInterpretation", ""))
    name = f"DICOM of {samples} channel(s)"
    if kind == "PALETTE COLOR":
        colours = steps.apply_color_lut(pixels, dataset)
        return fit_channels(to_unit(colours), num_channels, name)
    if samples != 1:
        return fit_channels(to_unit(pixels, int(dataset.BitsStored)), num_channels, name)
    shown = _grey(dataset, pixels, value_range, steps)
    if kind == "MONOCHROME1":
        shown = np.float32(1) - shown
    return fit_channels(shown, num_channels, name)


def _grey(
    dataset: Any,  # noqa: ANN401
    pixels: npt.NDArray[Any],
    value_range: ValueRange,
    steps: Any,  # noqa: ANN401
) -> npt.NDArray[np.float32]:
    """Scale stored values (H, W) to [0, 1]."""
    values = np.asarray(steps.apply_modality_lut(pixels, dataset), np.float64)
    if value_range is not None:
        return _between(values, *value_range)
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is not None and width is not None and width > 0:
        form = str(dataset.get("VOILUTFunction", "LINEAR"))
        if form == "SIGMOID":
            return (1 / (1 + np.exp(-4 * (values - centre) / width))).astype(np.float32)
        if form == "LINEAR" and width > 1:  # part 3 of the standard, C.11.2.1.2
            centre, width = centre - 0.5, width - 1
        return _between(values, centre - width / 2, centre + width / 2)
    bits = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    if "ModalityLUTSequence" in dataset:
        low, high = values.min(), max(values.max(), values.min() + 1)
    else:
        slope = float(dataset.get("RescaleSlope", 1))
        low, high = np.sort(ends * slope + float(dataset.get("RescaleIntercept", 0)))
    return _between(values, float(low), float(high))


def _between(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float32]:
    if not low < high:
        raise UnreadableImage(f"DICOM with an empty range of values, {low:g} to {high:g}")
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _first(value: object) -> float | None:
    """Return a DICOM number, the first if there are several; None if there is none."""
    if value is None or value == "":
        return None
    several = isinstance(value, (list, tuple)) or hasattr(value, "__getitem__")
    first: Any = value[0] if several and not isinstance(value, str) else value  # type: ignore[index]
    return float(first)
