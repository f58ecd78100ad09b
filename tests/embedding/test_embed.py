"""What `lightly_core.embed` computes, and what it makes of images that cannot be read."""

import logging
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from all_progress import show_all_progress
from PIL import Image
from torch import nn

import lightly_core
from lightly_core.testing.models import TinyTokens

NAMES = [*(f"a/{k:02}.png" for k in range(0, 12, 2)), *(f"b/{k:02}.png" for k in range(1, 12, 2))]
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def plain_loop(wrapper, folder, names, size, mean=MEAN, std=STD):
    """Features of files, one at a time, by Pillow and the wrapper alone."""
    wrapper.eval()
    rows = []
    for name in names:
        image = Image.open(folder / name).convert("RGB")
        image = image.resize((size, size), Image.Resampling.BICUBIC)
        pixels = (np.asarray(image) / 255 - mean) / std
        batch = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
        with torch.no_grad():
            found = wrapper.forward_features(batch)
            rows.append({**found, **wrapper.forward_pool(found)})
    return rows


@pytest.mark.parametrize("ending", ["csv", "pt", "npz", "parquet"])
def test_rows_are_those_of_a_plain_loop_in_the_order_of_the_names(
    ending, embed, read, tiny, image_folder, tmp_path
):
    result = embed(out=tmp_path / "new" / "folder" / f"features.{ending}")
    names, features = read(result.path)
    assert names == NAMES
    rows = plain_loop(tiny, image_folder, NAMES, 16)
    expected = np.array([row["pooled_features"].flatten().numpy() for row in rows])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-6)
    assert result == lightly_core.EmbedResult(
        tmp_path / "new" / "folder" / f"features.{ending}", 12, 0, 32
    )
    assert os.listdir(result.path.parent) == [f"features.{ending}"]


def test_large_images_are_resized_and_cut_in_the_middle(embed, read, tiny, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    # The shorter side becomes 256/224 of 64 pixels; half of what is too much goes on each side.
    resized = Image.fromarray(pixels).resize((109, 73), Image.Resampling.BICUBIC)
    for name, image in (("large", Image.fromarray(pixels)), ("cut", resized)):
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "a.png")
    middle = Image.open(tmp_path / "cut" / "a.png").crop((22, 4, 86, 68))
    middle.save(tmp_path / "cut" / "a.png")
    (row,) = plain_loop(tiny, tmp_path / "cut", ["a.png"], 64)
    _, features = read(embed(data=tmp_path / "large", image_size=64).path)
    # Resizing a part may round single values to a neighbouring level.
    np.testing.assert_allclose(
        features[0], row["pooled_features"].flatten().numpy(), rtol=1e-2, atol=1e-3
    )


@pytest.mark.slow
def test_large_jpegs_are_shrunk_while_decoded_and_give_nearly_the_same(
    embed, read, tmp_path, monkeypatch
):
    rows, columns = np.mgrid[:900, :1200] / 100
    waves = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=2)
    image = Image.fromarray((127.5 + 127.5 * waves).astype(np.uint8))
    (tmp_path / "large").mkdir()
    image.save(tmp_path / "large" / "a.jpg", quality=95)
    sizes = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: sizes.append(self.size) or load(self))
    _, shrunk = read(embed(data=tmp_path / "large", image_size=64).path)
    image.save(tmp_path / "large" / "a.png")
    (tmp_path / "large" / "a.jpg").unlink()
    _, whole = read(embed(data=tmp_path / "large", image_size=64, overwrite=True).path)
    assert min(map(min, sizes)) < 900
    np.testing.assert_allclose(shrunk, whole, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("ending", ["pt", "npz", "parquet"])
def test_patch_features_keep_their_map(ending, embed, read, tiny, image_folder, tmp_path):
    result = embed(out=tmp_path / f"maps.{ending}", features="patch", l2_normalize=True)
    names, maps = read(result.path)
    rows = plain_loop(tiny, image_folder, NAMES, 16)
    expected = torch.cat([row["features"] for row in rows])  # (N, D, 2, 2)
    expected = expected / (expected**2).sum(dim=1, keepdim=True).sqrt()
    if ending == "parquet":
        import pyarrow.parquet as parquet

        assert parquet.read_schema(result.path).metadata[b"lightly.shape"] == b"[32, 2, 2]"
        maps = maps.reshape(12, 32, 2, 2)
    assert (names, result.dim) == (NAMES, 32)
    np.testing.assert_allclose(maps, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_class_token_is_that_of_the_wrapper_and_its_own_normalisation_counts(
    embed, read, image_folder
):
    wrapper = TinyTokens()
    _, features = read(embed(model=wrapper, features="class_token").path)
    half = np.full(3, 0.5)  # the normalisation of TinyTokens
    rows = plain_loop(wrapper, image_folder, NAMES, 16, half, half)
    expected = torch.cat([row["cls_token"] for row in rows]).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_mean_and_std_given_win(embed, read, tiny, image_folder):
    _, features = read(embed(mean=(0.1, 0.2, 0.3), std=(1, 0.5, 0.25)).path)
    rows = plain_loop(
        tiny, image_folder, NAMES, 16, np.array([0.1, 0.2, 0.3]), np.array([1, 0.5, 0.25])
    )
    expected = np.array([row["pooled_features"].flatten().numpy() for row in rows])
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-6)


def test_l2_normalize_gives_unit_length(embed, read):
    _, plain = read(embed().path)
    _, unit = read(embed(l2_normalize=True, overwrite=True).path)
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1)[:, None], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["csv", "pt", "npz", "parquet"])
def test_two_runs_and_any_number_of_workers_write_the_same_bytes(ending, embed, tmp_path):
    first, second = (tmp_path / f"{workers}.{ending}" for workers in (0, 2))
    embed(out=first, num_workers=0)
    embed(out=second, num_workers=2)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_random_weights_follow_the_seed_and_are_warned_of(embed, read, tmp_path, capsys):
    def features(name, seed):
        torch.rand(1)  # earlier random numbers make no difference
        settings = {"model": "timm/test_vit", "image_size": 32, "seed": seed}
        return read(embed(out=tmp_path / name, **settings).path)[1]

    first, same, other = features("1.npz", 0), features("2.npz", 0), features("3.npz", 1)
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)
    assert (
        "weights of timm/test_vit are random; for trained ones set checkpoint"
        in capsys.readouterr().out
    )


def test_the_users_module_stays_as_it_was(embed, tiny):
    tiny.train()
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    random_state = torch.get_rng_state()
    embed()
    assert tiny.training
    assert all(parameter.requires_grad for parameter in tiny.parameters())
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


# ----------------------------------------------------------------------------- more than 8 bit


def png16(path, pixels):
    """Write RGB of 16 bit, which Pillow cannot."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        crc = zlib.crc32(kind + data)
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
    path.write_bytes(content)


@pytest.fixture
def depths(tmp_path):
    """One image of 16 x 16 pixels in RGB and in grey, each with 8 and with 16 bit."""
    folder = tmp_path / "depths"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "rgb08.png")
    png16(folder / "rgb16.png", pixels.astype(np.uint16) * 257)
    Image.fromarray(pixels[:, :, 0]).save(folder / "grey08.png")
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(folder / "grey16.png")
    return folder


@pytest.mark.parametrize("batch_size", [1, 4])
def test_more_bits_give_the_same_embedding(batch_size, depths, embed, read):
    assert Image.open(depths / "grey16.png").mode.startswith("I")
    names, features = read(embed(data=depths, batch_size=batch_size).path)
    rows = dict(zip(names, features, strict=True))
    # Nothing is resized: v / 255 and 257 v / 65535 differ by the rounding of float32 only.
    np.testing.assert_allclose(rows["grey16.png"], rows["grey08.png"], rtol=1e-5, atol=1e-6)
    # Pillow reads 16-bit RGB as 8 bit, so the numbers are equal, at other positions of a batch.
    np.testing.assert_allclose(rows["rgb16.png"], rows["rgb08.png"], rtol=1e-5, atol=1e-6)
    assert not np.allclose(rows["grey08.png"], rows["rgb08.png"], rtol=0.1)


def test_more_bits_give_nearly_the_same_embedding_where_images_are_resized(depths, embed, read):
    names, features = read(embed(data=depths, image_size=24).path)
    rows = dict(zip(names, features, strict=True))
    # 8 bit are rounded to 8 bit again after each of two passes, 16 bit are not: errors of up to
    # half a level, 0.2 % of the range, which average out over the positions.
    np.testing.assert_allclose(rows["grey16.png"], rows["grey08.png"], rtol=1e-2, atol=2e-3)
    np.testing.assert_allclose(rows["rgb16.png"], rows["rgb08.png"], rtol=1e-5, atol=1e-6)


# ----------------------------------------------------------------------------- unreadable images


def test_unreadable_images_are_skipped_and_listed(embed, read, image_folder, tmp_path, capsys):
    _, whole = read(embed().path)
    for name in ("a/04.png", "b/11.png"):
        (image_folder / name).write_bytes(b"no image")
    result = embed(max_skipped=0.2, overwrite=True)
    names, features = read(result.path)
    kept = [k for k, name in enumerate(NAMES) if name not in ("a/04.png", "b/11.png")]
    assert names == [NAMES[k] for k in kept]
    np.testing.assert_allclose(features, whole[kept], rtol=1e-5, atol=1e-6)
    assert (result.num_images, result.num_skipped) == (10, 2)
    listed = tmp_path / "features.npz.skipped.csv"
    assert listed.read_text().splitlines() == [
        "index,name,reason",
        "2,a/04.png,not an image",
        "11,b/11.png,not an image",
    ]
    out = capsys.readouterr().out
    assert "2 images cannot be read" in out
    assert f"'{listed}'" in out
    assert "Embedded 10 images in " in out
    assert "images/s" in out

    for name in ("a/04.png", "b/11.png"):
        (image_folder / name).unlink()
    embed(overwrite=True)
    assert not listed.exists()  # it belonged to the file that was replaced


def test_a_batch_in_which_nothing_can_be_read_leaves_no_row(embed, read, image_folder):
    for name in NAMES[5:10]:
        (image_folder / name).write_bytes(b"")
    assert read(embed(max_skipped=0.5).path)[0] == NAMES[:5] + NAMES[10:]


@pytest.mark.parametrize(
    ("max_fraction", "message"), [(0.1, "2 of 12 images"), (1.0, "none of the 12")]
)
def test_too_many_unreadable_images_write_nothing(
    max_fraction, message, embed, image_folder, tmp_path
):
    for name in NAMES[:2] if max_fraction < 1 else NAMES:
        (image_folder / name).write_bytes(b"")
    with pytest.raises(lightly_core.DataError, match=message):
        embed(out=tmp_path / "new" / "x.csv", max_skipped=max_fraction)
    assert os.listdir(tmp_path / "new") == []


@pytest.mark.parametrize("ending", ["csv", "pt", "npz", "parquet"])
def test_names_that_are_no_valid_text_are_escaped(ending, embed, read, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    names = [b"caf\xe9.png", 'ü, "1".png'.encode(), b"two\nlines.png"]
    image = Image.new("RGB", (8, 8))
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            image.save(file, "png")
    found, _ = read(embed(data=folder, out=tmp_path / f"x.{ending}").path)
    second = "two\\nlines.png" if ending == "csv" else "two\nlines.png"  # see data/names.py
    assert found == ["caf\\udce9.png", second, 'ü, "1".png']


# ----------------------------------------------------------------------------- interruption


class Stops:
    """A dataset whose item number 8 raises."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == 8:
            raise self.error
        return Image.new("RGB", (16, 16), (index, 0, 0))


@pytest.mark.parametrize("ending", ["csv", "pt", "npz", "parquet"])
@pytest.mark.parametrize(
    ("error", "exception"),
    [(KeyboardInterrupt, KeyboardInterrupt), (MemoryError, lightly_core.RunError)],
)
def test_an_interruption_leaves_the_older_file_and_nothing_else(
    ending, error, exception, embed, tmp_path
):
    out = tmp_path / "new" / f"x.{ending}"
    out.parent.mkdir()
    out.write_text("older")
    with pytest.raises(exception):
        embed(data=Stops(error()), out=out, overwrite=True)
    assert os.listdir(out.parent) == [out.name]
    assert out.read_text() == "older"


def test_a_disk_that_takes_no_more_is_told(embed, monkeypatch, tmp_path):
    from lightly_core.embedding.writers import CsvWriter

    def full(self, names, features):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CsvWriter, "add", full)
    with pytest.raises(lightly_core.RunError, match=r"x\.csv' cannot be written: .*No space left"):
        embed(out=tmp_path / "new" / "x.csv")
    assert os.listdir(tmp_path / "new") == []


def test_a_device_with_too_little_memory_is_told_with_the_batch_size(embed, monkeypatch, tmp_path):
    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("lightly_core.embedding.rows.batch_features", full)
    with pytest.raises(lightly_core.RunError, match="too little memory for batch_size=5; choose a"):
        embed(out=tmp_path / "new" / "x.csv")
    assert os.listdir(tmp_path / "new") == []


# ----------------------------------------------------------------------------- messages


def test_features_that_are_not_finite_are_warned_of(embed, tiny, capsys):
    with torch.no_grad():
        tiny.get_model()[2][0].weight[0] = torch.nan
    embed()
    assert "features of 12 images hold nan or infinite values" in capsys.readouterr().out


def test_progress_is_shown(embed, capsys, monkeypatch):
    show_all_progress(monkeypatch)
    embed(batch_size=5)
    assert "Embedding images: 5 of 12 images (42 %)" in capsys.readouterr().out


def test_log_handlers_are_given_back(embed):
    before = logging.getLogger("lightly_core").handlers[:]
    embed()
    assert logging.getLogger("lightly_core").handlers == before


def test_a_wrapper_around_any_module_works(embed, read):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    _, features = read(embed(model=lightly_core.wrap(model, features="1")).path)
    assert features.shape == (12, 6)


@pytest.mark.parametrize(("precision", "advised"), [("32-true", False), ("bf16-mixed", True)])
def test_another_precision_is_advised_where_there_is_one(embed, tiny, capsys, precision, advised):
    with torch.no_grad():
        tiny.get_model()[2][0].weight[0] = torch.nan
    embed(precision=precision)
    assert ("use precision=32-true" in capsys.readouterr().out) is advised
