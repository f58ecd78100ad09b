"""What Pillow does not read: TIFFs of many bands, HEIC, DICOM; and the reasons for other files."""

import sys

import numpy as np
import pytest
from PIL import Image
from tiffs import grey_tiff

from lightly_core.config.options.settings import PythonObject
from lightly_core.data.decode import decode
from lightly_core.data.formats.content import HEIF, own_format
from lightly_core.data.formats.tiff_header import tiff_facts
from lightly_core.data.pixels import UnreadableImage
from lightly_core.data.sources import open_source

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")

HEIC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(600)
DICOM = bytes(128) + b"DICM" + bytes(600)


def reason(path, channels=3):
    with pytest.raises(UnreadableImage) as caught:
        decode(path, channels)
    return str(caught.value)


@pytest.fixture
def nothing_installed(monkeypatch):
    for name in ("tifffile", "pillow_heif", "pydicom"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (HEIC, "HEIC; install pillow-heif to read it"),
        (DICOM, "DICOM; install pydicom to read it"),
        (
            grey_tiff(np.zeros((4, 6), np.uint8), bits=10),
            "TIFF with 1 band of 10 bit; install tifffile and imagecodecs to read it",
        ),
    ],
    ids=["heic", "dicom", "tiff"],
)
def test_the_reason_names_the_kind_and_the_package(tmp_path, content, text):
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason(tmp_path / "a.jpg") == text


def test_brands_end_where_their_box_ends():
    box, other = b"\0\0\0\x14ftypmp42\0\0\0\0isom", b"heic"
    assert own_format(box + other + bytes(600)) is None
    assert own_format(b"\0\0\0\x18" + box[4:] + other + bytes(600)) == HEIF


@pytest.mark.usefixtures("nothing_installed")
def test_what_pillow_reads_needs_no_package(tmp_path):
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    assert np.allclose(decode(tmp_path / "a.tif", 1)[:, :, 0], pixels / 65535)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_says_what_it_is(tmp_path, order, big):
    tifffile = pytest.importorskip("tifffile")
    values = np.zeros((6, 8, 5), np.float32)
    tifffile.imwrite(
        tmp_path / "a.tif",
        values,
        photometric="minisblack",
        byteorder=order,
        bigtiff=big,
        planarconfig="contig",
    )
    with open(tmp_path / "a.tif", "rb") as file:
        assert str(tiff_facts(file)) == "TIFF with 5 bands of 32 bit (float)"
        assert file.tell() == 0
    assert decode(tmp_path / "a.tif", 5).shape == (6, 8, 5)
    assert reason(tmp_path / "a.tif") == (
        "TIFF with 5 bands of 32 bit (float), expected 3 channel(s)"
    )


@pytest.mark.parametrize(
    "content", [b"II*\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_a_broken_head_of_a_tiff(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    assert reason(tmp_path / "a.tif") == "broken TIFF"


def test_heic_is_read_under_any_name(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[:, None], (64, 64, 3)[:2])
    image = np.repeat(ramp[:, :, None], 3, axis=2)
    heif.from_pillow(Image.fromarray(image)).save(tmp_path / "a.heic", quality=90)
    (tmp_path / "a.heic").rename(tmp_path / "a.jpg")
    shown = np.asarray(decode(tmp_path / "a.jpg", 3)).astype(int)
    assert np.abs(shown - image).mean() < 4


def test_the_range_of_values_reaches_files_and_datasets(tmp_path):
    pixels = np.array([[-100, 0, 300]], np.int32)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    expected = [0, 1 / 3, 1]
    given = {"num_channels": 1, "value_range": (-100, 200)}
    of_file = open_source(str(tmp_path), **given).load(0)
    of_array = open_source(PythonObject([pixels]), **given).load(0)
    of_image = open_source(PythonObject([Image.fromarray(pixels)]), **given).load(0)
    for loaded in (of_file, of_array, of_image):
        assert np.allclose(loaded.ravel(), expected, atol=1e-6)
    assert "value_range=[low,high]" in reason(tmp_path / "a.tif")


def test_a_range_leaves_8_bit_alone_and_counts_the_lower_bytes_of_pngs(tmp_path):
    flat = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    Image.fromarray(flat).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", 3, value_range=(0, 10)), flat)
