import io

import numpy as np
import pytest
from PIL import Image

from lightly_core.data.decode import decode
from lightly_core.data.formats.jpeg_header import read_header


def jpeg(mode="RGB", size=(37, 22), **options):
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def exif_behind_the_frame():
    """EXIF between the frame and the pixels, where Pillow finds it too."""
    plain, with_exif = jpeg(), jpeg(exif=turned())
    start = with_exif.index(b"\xff\xe1")
    segment = with_exif[start : start + 2 + int.from_bytes(with_exif[start + 2 : start + 4], "big")]
    scan = plain.index(b"\xff\xda")
    return plain[:scan] + segment + plain[scan:]


PLAIN = {
    "rgb": jpeg(),
    "grey": jpeg("L"),
    "progressive": jpeg(progressive=True),
    "restarts": jpeg(restart_marker_rows=1),
    "profile and comment": jpeg(icc_profile=b"a" * 70_000, comment=b"b" * 300),
    "uncoded rgb": jpeg(keep_rgb=True),
    "large": jpeg(size=(300, 1)),
}
_XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"
#: A segment as cameras write it. Not every version of Pillow writes one.
XMP = b"\xff\xe1" + (len(_XMP) + 2).to_bytes(2, "big") + _XMP
OTHER = {
    "exif": jpeg(exif=turned()),
    "exif behind the frame": exif_behind_the_frame(),
    "xmp": jpeg()[:2] + XMP + jpeg()[2:],
    "cmyk": jpeg("CMYK"),
    "cut in the header": jpeg()[:200],
    "another mark": jpeg()[:2] + b"\0" + jpeg()[2:],
    "empty": b"",
}


@pytest.mark.parametrize("name", PLAIN)
def test_size_and_mode_are_those_of_pillow(name):
    with Image.open(io.BytesIO(PLAIN[name])) as image:
        assert read_header(PLAIN[name]) == (*image.size, image.mode)
        assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("name", OTHER)
def test_files_with_something_else_are_left_to_pillow(name):
    assert read_header(OTHER[name]) is None


def test_exif_behind_the_frame_turns_the_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(OTHER["exif behind the frame"])
    assert np.asarray(decode(tmp_path / "a.jpg", 3)).shape == (37, 22, 3)


def test_images_above_the_limit_of_pillow_are_left_to_it(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 37 * 22 - 1)
    assert read_header(PLAIN["rgb"]) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_header(PLAIN["rgb"]) == (37, 22, "RGB")


def test_the_allowed_scale_is_asked_for_once_also_if_pillow_decodes(tmp_path):
    damaged = bytearray(jpeg(size=(170, 131)))
    del damaged[-300:-200]
    (tmp_path / "a.jpg").write_bytes(damaged)
    asked = []
    decoded = decode(tmp_path / "a.jpg", 3, least_scale=lambda size: asked.append(size) or 0.5)
    assert isinstance(decoded, Image.Image)
    assert decoded.size == (85, 66)
    assert asked == [(131, 170)]
