import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps
from tiffs import grey_tiff

from lightly_core.config.options.augmentations import LocalViewArgs, RandomResizeArgs
from lightly_core.config.options.transform import MultiCropTransformArgs, ViewSpec
from lightly_core.data.decode import decode, smallest_useful_side
from lightly_core.data.formats import jpeg
from lightly_core.data.pixels import UnreadableImage, fit_channels, refuse_bomb
from lightly_core.data.sources import open_source


def rgb(height=6, width=8):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_every_exif_orientation_shows_the_same_picture(tmp_path, ending):
    upright = np.zeros((24, 32), np.uint8)
    upright[:8, :16] = 255  # a shape that no turn or mirroring maps onto itself
    upright[8:16, :8] = 128
    # A camera stores the image with the inverse of the rotation in the tag.
    stored_by_orientation = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    lossless = {"lossless": True} if ending == "webp" else {}
    wrong = []
    for orientation, stored in stored_by_orientation.items():
        path = tmp_path / f"{orientation}.{ending}"
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
        image.save(path, exif=exif, **lossless)
        shown = np.asarray(decode(path, 3))[:, :, 0].astype(int)
        # JPEG is not exact.
        if shown.shape != upright.shape or np.abs(shown - upright).max() > 8:
            wrong.append(orientation)
    assert wrong == []


def test_agrees_with_pillow_on_a_turned_photo(tmp_path):
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 5
    rgb().save(path, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(path))
    assert np.array_equal(np.asarray(decode(path, 3)), np.asarray(expected))


def test_broken_exif_counts_as_none(tmp_path):
    path = tmp_path / "a.jpg"
    rgb().save(path, exif=b"Exif\0\0garbage that is no metadata")
    assert np.asarray(decode(path, 3)).shape == (6, 8, 3)


@pytest.mark.parametrize(("num_channels", "wanted"), [(3, "RGB"), (1, "L")])
def test_common_modes_become_what_is_wanted(tmp_path, num_channels, wanted):
    modes = ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK"]
    found = {}
    for mode in modes:
        path = tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        rgb().convert(mode).save(path)
        image = decode(path, num_channels)
        found[mode] = (image.mode, image.size)
    assert found == dict.fromkeys(modes, (wanted, (8, 6)))


def test_cmyk_keeps_its_colours(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=95)
    red, green, blue = np.asarray(decode(path, 3)).mean((0, 1))
    assert red > 245
    assert max(green, blue) < 10


def test_one_bit_black_and_white_spans_the_whole_range(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.eye(4, dtype=bool)).save(path)
    assert np.array_equal(np.asarray(decode(path, 1)), 255 * np.eye(4, dtype=np.uint8))


@pytest.mark.parametrize("num_channels", [1, 3])
def test_transparent_parts_are_white(tmp_path, num_channels):
    path = tmp_path / "a.png"
    pixels = np.zeros((2, 2, 4), np.uint8)  # black ink ...
    pixels[0, 0, 3], pixels[0, 1, 3] = 255, 128  # ... opaque, half, and not at all
    Image.fromarray(pixels).save(path)
    shown = np.asarray(decode(path, num_channels)).reshape(2, 2, num_channels)[:, :, 0]
    assert shown.tolist() == [[0, 127], [255, 255]]


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_palette_entry_is_white(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((0, 0), 0)
    image.save(path, transparency=0)
    shown = np.asarray(decode(path, 3))
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[1, 1].tolist() == [200, 10, 10]


def test_an_animation_is_its_first_frame(tmp_path):
    path = tmp_path / "a.gif"
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert np.asarray(decode(path, 3))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_16_bit_gives_what_8_bit_gives(tmp_path, ending, num_channels):
    deep = np.random.default_rng(0).integers(0, 65536, (6, 8), np.uint16)
    if ending == "pgm":  # Pillow 10.1 reads such files and does not write them
        (tmp_path / "deep.pgm").write_bytes(b"P5 8 6 65535\n" + deep.astype(">u2").tobytes())
    else:
        Image.fromarray(deep).save(tmp_path / f"deep.{ending}")
    Image.fromarray((deep >> 8).astype(np.uint8)).save(tmp_path / "flat.png")
    values = decode(tmp_path / f"deep.{ending}", num_channels)
    flat = np.asarray(decode(tmp_path / "flat.png", num_channels)).reshape(6, 8, num_channels)
    assert (values.dtype, values.shape) == (np.float32, (6, 8, num_channels))
    assert np.abs(values - flat / 255).max() <= 1 / 255
    assert np.allclose(values[:, :, 0], deep / 65535, atol=1e-7)


def test_16_bit_of_the_other_byte_order_and_turned(tmp_path):
    deep = (np.arange(48).reshape(6, 8) * 1000).astype(">u2")
    path = tmp_path / "a.tif"
    path.write_bytes(grey_tiff(deep, order=">"))
    assert np.allclose(decode(path, 1)[:, :, 0], deep / 65535, atol=1e-7)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(deep.astype(np.uint16)).save(tmp_path / "b.png", exif=exif)
    rotated = np.rot90(deep, -1) / 65535
    assert np.allclose(decode(tmp_path / "b.png", 1)[:, :, 0], rotated, atol=1e-7)


def test_16_bit_where_white_is_zero(tmp_path):
    deep = (np.arange(48).reshape(6, 8) * 1000).astype("<u2")
    path = tmp_path / "a.tif"
    path.write_bytes(grey_tiff(deep, white_is_zero=True))
    assert np.allclose(decode(path, 1)[:, :, 0], 1 - deep / 65535, atol=1e-6)


def test_12_bit_spans_the_whole_range(tmp_path):
    packed = np.array([[0xFF, 0xF0, 0x00], [0x80, 0x00, 0x10]], np.uint8)  # 4095 0 | 2048 16
    path = tmp_path / "a.tif"
    tiff = bytearray(grey_tiff(packed, bits=12))
    width = tiff.index(struct.pack("<HHI", 256, 3, 1)) + 8
    tiff[width : width + 2] = struct.pack("<H", 2)  # three bytes hold two pixels
    path.write_bytes(tiff)
    assert np.allclose(decode(path, 1)[:, :, 0], np.array([[4095, 0], [2048, 16]]) / 4095)


def test_float_images_in_the_unit_range_are_taken_as_they_are(tmp_path):
    values = np.random.default_rng(0).random((6, 8), np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.array_equal(decode(tmp_path / "a.tif", 1)[:, :, 0], values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((4, 4), 300, np.float32), "float pixels from 300 to 300, expected [0, 1]"),
        (np.full((4, 4), np.nan, np.float32), "float pixels from nan to nan, expected [0, 1]"),
        (
            np.full((4, 4), -5, np.int32),
            "values from -5 to -5, expected [0, 65535]; transform_args.value_range",
        ),
        (np.full((4, 4), 70000, np.int32), "values from 70000 to 70000"),
    ],
)
def test_values_without_a_clear_scale_are_refused(tmp_path, values, reason):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage) as caught:
        decode(tmp_path / "a.tif", 1)
    assert str(caught.value).startswith(reason)


def test_four_channels_are_kept_unchanged(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", 4), pixels)


def test_other_channel_counts_are_refused(tmp_path):
    rgb().save(tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match=r"^RGB of 3 channel\(s\), expected 4 channel\(s\)$"):
        decode(tmp_path / "a.png", 4)


def jpeg_bytes():
    buffer = io.BytesIO()
    rgb(64, 64).save(buffer, "JPEG")
    return buffer.getvalue()


def png_bytes():
    buffer = io.BytesIO()
    rgb(64, 64).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"just some text", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript, not an image"),
        (jpeg_bytes()[:-600], "truncated"),
        (png_bytes()[:-600], "truncated"),
        (jpeg_bytes()[:30], "truncated"),
    ],
    ids=["empty", "text", "postscript", "half a jpeg", "half a png", "head of a jpeg"],
)
def test_broken_files_have_a_short_reason(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as caught:
        decode(path, 3)
    assert str(caught.value) == reason


def test_a_missing_file_and_a_folder_have_a_reason(tmp_path):
    with pytest.raises(UnreadableImage, match=r"^file is missing$"):
        decode(tmp_path / "a.jpg", 3)
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(UnreadableImage, match=r"^is a folder$"):
        decode(tmp_path / "b.jpg", 3)


def test_a_decompression_bomb_is_unreadable(tmp_path, monkeypatch):
    rgb(40, 40).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(UnreadableImage, match=r"^more than 1400 pixels$"):
        decode(tmp_path / "a.png", 3)


def test_the_limit_on_values_is_that_of_the_largest_image_of_four_channels(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    refuse_bomb(10, 10, channels=4)
    refuse_bomb(2, 10, channels=20)
    with pytest.raises(UnreadableImage, match="more than 400 values"):
        refuse_bomb(9, 9, channels=5)


def by_pillow(path, num_channels, factor):
    """What Pillow alone gives for a JPEG."""
    image = Image.open(path)
    image.draft(None, tuple(side // factor for side in image.size))
    turned = ImageOps.exif_transpose(image)
    pixels = np.asarray(turned.convert("RGB" if num_channels == 3 else "L"))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


@pytest.mark.parametrize("installed", [True, False])
def test_jpegs_of_all_kinds_have_the_pixels_of_pillow(tmp_path, monkeypatch, installed):
    if not installed:
        monkeypatch.setattr(jpeg, "simplejpeg", None)
    kinds = {
        **{f"subsampling {number}": {"subsampling": number} for number in range(3)},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_rows": 1},
        "turned": {"exif": Image.Exif()},
        "grey": {"mode": "L"},
        "cmyk": {"mode": "CMYK"},
        "rgb": {"keep_rgb": True},
        "damaged": {"cut": slice(-300, -200)},
    }
    kinds["turned"]["exif"][0x0112] = 6
    image = rgb(131, 170).resize((170, 131), Image.Resampling.BOX)
    for name, options in kinds.items():
        path = tmp_path / f"{name}.jpg"
        cut = options.pop("cut", slice(0, 0))
        image.convert(options.pop("mode", "RGB")).save(path, quality=90, **options)
        content = bytearray(path.read_bytes())
        del content[cut]
        path.write_bytes(content)
        for channels in (1, 3):
            for factor in (1, 2, 4, 8):
                found = np.asarray(decode(path, channels, least_scale=lambda _: 1 / factor))  # noqa: B023
                found = found if found.ndim == 3 else found[:, :, None]
                expected = by_pillow(path, channels, factor)
                assert np.array_equal(found, expected), (name, channels, factor)


@pytest.mark.parametrize(
    ("least", "size"), [(1.0, (240, 320)), (0.51, (240, 320)), (0.5, (120, 160)), (0.01, (30, 40))]
)
def test_big_jpegs_shrink_as_far_as_allowed(tmp_path, least, size):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    rgb(320, 240).save(tmp_path / "a.jpg", exif=exif)
    asked = []
    found = decode(tmp_path / "a.jpg", 3, least_scale=lambda size: asked.append(size) or least)
    assert found.shape[:2] == size
    assert asked == [(240, 320)]


def test_a_folder_shrinks_down_to_the_smallest_side(tmp_path):
    rgb(240, 320).save(tmp_path / "a.jpg")
    sides = {None: 240, 241: 240, 121: 240, 120: 120, 1: 30}
    found = {side: open_source(str(tmp_path), min_side=side).load(0).shape[0] for side in sides}
    assert found == sides


def test_a_shrunk_jpeg_shows_the_same_picture(tmp_path):
    ramp = np.linspace(0, 255, 128, dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp, (128, 128)).copy()).convert("RGB")
    image.save(tmp_path / "a.jpg", quality=95)
    shrunk = decode(tmp_path / "a.jpg", 3, least_scale=lambda _: 0.5).astype(int)
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BOX)).astype(int)
    assert np.abs(shrunk - expected).max() <= 4


def test_smallest_useful_side_by_hand():
    crop = RandomResizeArgs(min_scale=0.25, max_scale=1.0, min_ratio=1.0, max_ratio=1.0)
    assert smallest_useful_side([ViewSpec(size=(100, 100), random_resize=crop)]) == 200
    assert smallest_useful_side([ViewSpec(size=(100, 130))]) == 130
    wide = RandomResizeArgs(min_scale=0.25, max_scale=1.0, min_ratio=1.0, max_ratio=4.0)
    assert smallest_useful_side([ViewSpec(size=(100, 100), random_resize=wide)]) == 400
    local = MultiCropTransformArgs(local_view=LocalViewArgs(), random_resize=crop)
    assert smallest_useful_side(local.view_specs()) == 496  # of a local view: 96 sqrt(4/3 / 0.05)


@pytest.mark.parametrize(("shape", "channels"), [((4, 4), 3), ((4, 4, 1), 3), ((4, 4), 1)])
def test_grey_arrays_are_repeated(shape, channels):
    array = np.arange(16, dtype=np.uint8).reshape(shape)
    fitted = fit_channels(array, channels)
    assert fitted.shape == (4, 4, channels)
    assert np.array_equal(fitted[:, :, -1], array.reshape(4, 4))


def test_colour_arrays_become_grey_as_pillow_does_it():
    image = rgb()
    grey = fit_channels(np.asarray(image), 1)[:, :, 0].astype(int)
    assert np.abs(grey - np.asarray(image.convert("L")).astype(int)).max() <= 1


@pytest.mark.parametrize("size", [(20, 30), (30, 20), (40, 10)])
def test_no_crop_of_an_image_with_the_smallest_useful_side_is_enlarged(size):
    crop = RandomResizeArgs(min_scale=0.1, max_scale=0.4, min_ratio=0.5, max_ratio=3.0)
    side = smallest_useful_side([ViewSpec(size=size, random_resize=crop)])
    ratios = np.geomspace(0.5, 3.0, 50)
    widths, heights = side * np.sqrt(0.1 * ratios), side * np.sqrt(0.1 / ratios)
    shrunk_by = np.concatenate([widths / size[1], heights / size[0]]).min()
    assert 1 <= shrunk_by < side / (side - 1)  # the side is rounded up
