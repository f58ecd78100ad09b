"""HEIC and DICOM files, if their packages are installed."""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tools.hostile.case import EITHER, LISTED, Case, grey, repeated, smooth


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yield about 80 files."""
    if importlib.util.find_spec("pillow_heif"):
        yield from _heic(rng)
    if importlib.util.find_spec("pydicom"):
        yield from _dicom(rng)


def _heic(rng: np.random.Generator) -> Iterator[Case]:
    heif: Any = importlib.import_module("pillow_heif")
    colours = smooth()
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(colours)).save(buffer, quality=95)
    content, seen = buffer.getvalue(), colours.astype(float)
    for ending in ("heic", "HEIF", "hif", "jpg", "png"):
        name = f"photo.{ending}".encode()
        yield Case("HEIC", name, content, expected=seen, tolerance=6.0)
    yield Case("HEIC", b"grey.heic", content, expected=grey(colours), channels=1, tolerance=6.0)
    yield from _damaged(rng, "HEIC", "heic", content)


def _dicom(rng: np.random.Generator) -> Iterator[Case]:
    """Yield files whose expected pixels follow from the rules in docs/images.md."""
    row = "DICOM"
    stored = rng.integers(0, 4096, (11, 13)).astype(np.uint16)
    fraction = stored / 4095
    plain = _dataset(stored, BitsStored=12)
    yield Case(row, b"12-bit.dcm", plain, expected=repeated(255 * fraction))
    yield Case(row, b"called.jpg", plain, expected=repeated(255 * fraction))
    inverted = _dataset(stored, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    yield Case(row, b"monochrome1.dcm", inverted, expected=repeated(255 - 255 * fraction))
    window = _dataset(stored, BitsStored=12, WindowCenter=1000, WindowWidth=501)
    seen = np.clip((stored - (999.5 - 250)) / 500, 0, 1)
    yield Case(row, b"window.dcm", window, expected=repeated(255 * seen))
    scan = {"BitsStored": 12, "RescaleSlope": 2, "RescaleIntercept": -1024}
    units = stored * 2.0 - 1024
    seen = np.clip((units + 1000) / 2000, 0, 1)
    content = _dataset(stored, **scan)
    yield Case(
        row, b"hounsfield.dcm", content, expected=repeated(255 * seen), value_range=(-1000, 1000)
    )
    yield Case(row, b"rescaled.dcm", content, expected=repeated(255 * fraction))
    signed = stored.astype(np.int16) - 2048
    content = _dataset(signed.view(np.uint16), BitsStored=16, PixelRepresentation=1)
    yield Case(row, b"signed.dcm", content, expected=repeated((signed + 32768.0) / 65535 * 255))
    colours = smooth()
    content = _dataset(colours, PhotometricInterpretation="RGB")
    yield Case(row, b"colours.dcm", content, expected=colours.astype(float))
    frames = np.stack([stored, stored[::-1]])
    content = _dataset(frames, BitsStored=12, NumberOfFrames=2)
    yield Case(row, b"frames.dcm", content, expected=repeated(255 * fraction))
    content = _dataset(None)
    yield Case(row, b"no-image.dcm", content, must=LISTED, reason="without an image")
    content = _dataset(stored, BitsStored=12, RescaleSlope=0, RescaleIntercept=5)
    yield Case(row, b"slope.dcm", content, must=LISTED, reason="empty range")
    content = _dataset(stored, BitsStored=12, Rows=60000, Columns=60000)
    yield Case(row, b"bomb.dcm", content, must=LISTED, reason="pixels")
    yield from _damaged(rng, row, "dcm", plain)


def _dataset(pixels: npt.NDArray[Any] | None, **values: object) -> bytes:
    """Return a DICOM file with pixels (H, W), (H, W, 3) or (frames, H, W)."""
    pydicom: Any = importlib.import_module("pydicom")
    uid: Any = importlib.import_module("pydicom.uid")
    dataset: Any = importlib.import_module("pydicom.dataset")
    meta = dataset.FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    content = dataset.FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    if pixels is not None:
        colour = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
        bits = 8 * pixels.dtype.itemsize
        content.Rows, content.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
        content.SamplesPerPixel = 3 if colour else 1
        content.PlanarConfiguration = 0
        content.BitsAllocated = content.BitsStored = bits
        content.PixelRepresentation = 0
        content.PhotometricInterpretation = "MONOCHROME2"
        content.PixelData = pixels.tobytes() + bytes(pixels.nbytes % 2)
        for name, value in values.items():
            setattr(content, name, value)
        content.HighBit = content.BitsStored - 1
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, content)
    return buffer.getvalue()


def _damaged(rng: np.random.Generator, row: str, ending: str, content: bytes) -> Iterator[Case]:
    for number, place in enumerate(np.linspace(10, len(content) - 1, 12).astype(int)):
        name = f"cut-{number}.{ending}".encode()
        yield Case(row, name, content[: int(place)], must=EITHER)
    for number in range(16):
        damaged = bytearray(content)
        for _ in range(1 + number % 4):
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        yield Case(row, f"flip-{number}.{ending}".encode(), bytes(damaged), must=EITHER)
