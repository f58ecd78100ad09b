import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from lightly_core.data import transparency
from lightly_core.data.decode import decode


def png(path, kind, bits, rows, transparent):
    """A PNG written by hand: Pillow writes few kinds. `rows` are packed bytes, one row each."""
    height, width = rows.shape[0], rows.shape[1] * 8 // (bits * {0: 1, 2: 3}[kind])
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
        (b"tRNS", b"".join(struct.pack(">H", value) for value in transparent)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        content += struct.pack(">I", len(body)) + name + body
        content += struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(content)


def shown(path, channels=1):
    """Pixels in [0, 1]."""
    pixels = np.asarray(decode(path, channels))
    return pixels / 255 if pixels.dtype == np.uint8 else pixels


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_is_white_at_every_depth(tmp_path, bits):
    full = 2**bits - 1
    if bits == 16:
        pixels = np.array([[0, 256, 65535]], ">u2")
        rows = pixels.view(np.uint8)
    else:
        pixels = np.minimum(np.array([[0, 1, full, 0, 1, full, 0, 1]]), full)
        digits = "".join(f"{value:0{bits}b}" for value in pixels[0])
        rows = np.array([[int(digits[k : k + 8], 2) for k in range(0, len(digits), 8)]], np.uint8)
    for transparent in (0, int(pixels[0, 1]), full):
        png(tmp_path / "a.png", 0, bits, rows, [transparent])
        expected = np.where(pixels == transparent, 1.0, pixels / full)
        assert np.allclose(shown(tmp_path / "a.png").reshape(1, -1), expected, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 16])
def test_only_the_exact_transparent_colour_is_white(tmp_path, bits):
    kind = np.uint8 if bits == 8 else np.dtype(">u2")
    scale = 1 if bits == 8 else 257
    first = np.array([10, 20, 30]) * scale
    near = first + np.array([0, 0, 1])  # of 16 bit the upper bytes are the same
    pixels = np.stack([first, near])[None].astype(kind)
    png(tmp_path / "a.png", 2, bits, pixels.reshape(1, -1).view(np.uint8), first.tolist())
    seen = np.asarray(decode(tmp_path / "a.png", 3))
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[0, 1].tolist() == [value if bits == 8 else value >> 8 for value in near]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L", "1"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_work_in_pieces_gives_the_same_picture(monkeypatch, mode, num_channels):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (37, 53, 4), np.uint8), "RGBA").convert(mode)
    if mode in ("P", "RGB", "L", "1"):
        image.info["transparency"] = (1, 2, 3) if mode == "RGB" else 0
    wanted = "RGB" if num_channels == 3 else "L"
    whole = np.asarray(transparency.shown_on_white(image, wanted))
    monkeypatch.setattr(transparency, "_PIXELS_AT_ONCE", 20)
    assert np.array_equal(np.asarray(transparency.shown_on_white(image, wanted)), whole)


MEASURE = """
import sys
from PIL import Image
from lightly_core.data.decode import decode
from lightly_core.engine.memory import peak_process_memory
Image.new("RGBA", (8, 8)).convert("RGB")
before = peak_process_memory()
if sys.argv[1] == "pillow":
    Image.open(sys.argv[2]).convert("RGB")
else:
    decode(sys.argv[2], int(sys.argv[1]))
print((peak_process_memory() - before) >> 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_a_large_transparent_image_takes_little_more_memory_than_pillows_own(tmp_path, mode):
    path = tmp_path / "a.png"
    image = Image.new(mode, (4000, 4000), 100 if mode == "P" else None)
    image.save(path, **({"transparency": 0} if mode == "P" else {}))
    if mode == "RGB":
        image.save(path, transparency=(1, 2, 3))
    taken = {}
    for what in ("pillow", "3", "1"):
        command = [sys.executable, "-c", MEASURE, what, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        taken[what] = int(done.stdout)
    assert max(taken["3"], taken["1"]) <= 1.3 * taken["pillow"], taken
