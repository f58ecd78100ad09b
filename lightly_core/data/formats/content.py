"""Recognises the format of a file by its first bytes, whatever its name."""

from __future__ import annotations

#: Number of bytes read from the start of a file.
HEAD_BYTES = 512

#: Formats that Pillow or a module of this package reads.
TIFF, HEIF, DICOM = "TIFF", "HEIC", "DICOM"

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_AVIF_BRANDS = (b"avif", b"avis")
_CONVERT = "which is not read; convert it to PNG, TIFF or JPEG"
_RAW = f"raw data of a camera, {_CONVERT}"

#: (offset, bytes there, description). The first match counts.
_OTHERS = (
    (0, b"\xff\x0a", f"JPEG XL, {_CONVERT}"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", f"JPEG XL, {_CONVERT}"),
    (0, b"II\xbc\x01", f"JPEG XR, {_CONVERT}"),
    (0, b"v/1\x01", f"OpenEXR, {_CONVERT}"),
    (0, b"8BPS", f"Photoshop, {_CONVERT}"),
    (0, b"gimp xcf", f"GIMP, {_CONVERT}"),
    (0, b"#?RADIANCE", f"Radiance HDR, {_CONVERT}"),
    (0, b"SIMPLE  =", f"FITS, {_CONVERT}"),
    (0, b"DDS ", f"DDS, {_CONVERT}"),
    (0, b"qoif", f"QOI, {_CONVERT}"),
    (0, b"BPG\xfb", f"BPG, {_CONVERT}"),
    (0, b"\0\0\1\0", f"an icon (ICO), {_CONVERT}"),
    (0, b"icns", f"an icon (ICNS), {_CONVERT}"),
    (0, b"FUJIFILMCCD-RAW", _RAW),
    (0, b"FOVb", _RAW),
    (0, b"IIU\0", _RAW),
    (0, b"IIRO", _RAW),
    (4, b"ftypcrx ", _RAW),
    (344, b"n+1\0", f"NIfTI, {_CONVERT}"),
    (344, b"ni1\0", f"NIfTI, {_CONVERT}"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, not an image"),
    (0, b"CDF", "a NetCDF file, not an image"),
    (0, b"\x93NUMPY", "a NumPy array, not an image; give such arrays in a torch Dataset"),
    (0, b"%PDF", "a PDF, not an image"),
    (0, b"%!PS", "PostScript, not an image"),
    (0, b"PK\3\4", "a ZIP archive, not an image"),
    (0, b"\x1f\x8b", "gzip data, not an image"),
    (0, b"Rar!", "a RAR archive, not an image"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive, not an image"),
    (257, b"ustar", "a tar archive, not an image"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the image; run git lfs pull"),
    (0, b"SQLite format 3", "a database, not an image"),
    (0, b"\x1aE\xdf\xa3", "a video, not an image"),
    (8, b"AVI ", "a video, not an image"),
    (4, b"ftypisom", "a video, not an image"),
    (4, b"ftypmp4", "a video, not an image"),
    (4, b"ftypqt", "a video, not an image"),
    (4, b"ftypM4V", "a video, not an image"),
)
_MARKUP = (
    (b"<!doctype html", "a web page, not an image"),
    (b"<html", "a web page, not an image"),
    (b"<svg", f"SVG, {_CONVERT}"),
    (b"<?xml", "XML, not an image"),
)


def own_format(head: bytes) -> str | None:
    """Return which of `TIFF`, `HEIF` and `DICOM` a file is, or None.

    Args:
        head: The file's first `HEAD_BYTES` bytes, or all if it has fewer.
    """
    if head.startswith(_TIFF):
        return TIFF
    if head[128:132] == b"DICM":
        return DICOM
    brands = _brands(head)
    if brands and not brands & set(_AVIF_BRANDS) and brands & set(_HEIF_BRANDS):
        return HEIF
    return None


def is_avif(head: bytes) -> bool:
    """Return whether a file is AVIF."""
    return bool(_brands(head) & set(_AVIF_BRANDS))


def other_content(head: bytes) -> str | None:
    """Describe a file that is not an image of a supported format; None if it is unknown."""
    for offset, start, name in _OTHERS:
        if head[offset : offset + len(start)] == start:
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, name in _MARKUP:
        if text.startswith(start):
            return "SVG, " + _CONVERT if b"<svg" in text else name
    if not head.strip(b"\0"):
        return "only zero bytes, as after an interrupted copy"
    return None


def _brands(head: bytes) -> set[bytes]:
    """Return the brands that an ISO media file declares, the main one and the compatible ones."""
    if head[4:8] != b"ftyp":
        return set()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    offsets = (8, *range(16, size - 3, 4))
    return {head[offset : offset + 4] for offset in offsets}
