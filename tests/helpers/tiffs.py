"""TIFFs written by hand."""

import struct


def grey_tiff(pixels, *, bits=16, white_is_zero=False, order="<"):
    """An uncompressed TIFF, written by hand because Pillow writes few kinds."""
    height, width = pixels.shape
    data = pixels.tobytes()
    tags = [
        *((256, width), (257, height), (258, bits), (259, 1), (262, 0 if white_is_zero else 1)),
        *((273, 8), (277, 1), (278, height), (279, len(data))),
    ]
    entries = b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    head = struct.pack(order + "HI", 42, 8 + len(data))
    directory = struct.pack(order + "H", len(tags)) + entries + b"\0\0\0\0"
    return (b"II" if order == "<" else b"MM") + head + data + directory
