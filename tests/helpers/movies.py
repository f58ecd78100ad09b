"""Tiny videos whose frames are told apart by their brightness."""

import struct
from fractions import Fraction

import av
import numpy as np

#: Brightness of frame i is LOWEST + STEP * i.
LOWEST, STEP = 20, 8
_BASE = Fraction(1, 1000)


def flat_frames(count, *, height=32, width=48):
    """Return frames of one brightness each, (H, W, 3)."""
    levels = [LOWEST + STEP * number for number in range(count)]
    return [np.full((height, width, 3), level, np.uint8) for level in levels]


def number_of(image):
    """Return the number of a frame of `flat_frames` by its brightness."""
    return round((float(np.asarray(image).mean()) - LOWEST) / STEP)


def write_video(path, frames, *, rate=10, gop=4, times=None, codec="mpeg4", reordered=False):
    """Write frames to a video with a key frame every `gop` frames.

    `times` are those of the frames in milliseconds; None: `rate` frames for each second. With
    `reordered` frames are stored in another order than that of time, as most cameras do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, _ = frames[0].shape
    if times is None:
        times = [round(1000 * number / rate) for number in range(len(frames))]
    with av.open(str(path), "w") as container:
        options = {"g": str(gop), "bf": "2" if reordered else "0", "sc_threshold": "1000000000"}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = _BASE
        for time, pixels in zip(times, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, _BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn(path):
    """Note in a video that it is to be turned a quarter clockwise, as phones held upright do."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44  # behind the kind: version, times, number, length, layer
    one = 0x00010000
    data[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(data)
