"""Pictures and features that a run takes for its report, and how they are read."""

import json
import math

import numpy as np
import pytest
import torch
from run_states import stop_in_step
from short_run import TinyWrapper, run_settings, write_images

import lightly_core
from lightly_core import RunInterrupted
from lightly_core.config.options.transform import NormalizeArgs, ViewSpec
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import EvalTransform
from lightly_core.evaluation.sample import ImageSample
from lightly_core.reporting.capture import Capture, Network, patch_picture, write_views
from lightly_core.reporting.images import read_images, read_views
from lightly_core.reporting.maps import map_of
from lightly_core.reporting.page import render
from lightly_core.reporting.reading import read_run


@pytest.fixture
def labelled(tmp_path):
    """24 images in two class folders."""
    folder = write_images(tmp_path / "flat")
    for number, file in enumerate(sorted(folder.iterdir())):
        target = tmp_path / "images" / ("even", "odd")[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        file.rename(target / file.name)
    return tmp_path / "images"


@pytest.fixture
def sample(labelled):
    transform = EvalTransform(16, NormalizeArgs(), 3, "bilinear")
    return ImageSample(open_source(str(labelled)), list(range(20)), transform)


def test_features_are_those_of_the_network_and_nothing_is_changed(tmp_path, sample):
    torch.manual_seed(0)
    wrapper = TinyWrapper().train()
    state = torch.get_rng_state()
    Capture(sample, tmp_path, from_val_data=False).before(Network(wrapper, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), state)
    assert wrapper.training
    images = read_images(tmp_path)
    (batch,) = sample.batches(0)
    pixels = sample.transform.views(batch.pixels, batch.parameters)[0]
    with torch.no_grad():
        pooled = wrapper.eval().body(pixels).mean((2, 3))
    expected = (pooled / pooled.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(images.features["before"], expected, atol=1e-3)
    assert [images.classes[label] for label in images.labels] == ["even"] * 12 + ["odd"] * 8
    assert (images.thumbnails.columns, images.thumbnails.rows) == (20, 1)
    assert (images.thumbnails.width, images.thumbnails.height) == (16, 16)


@pytest.mark.slow
def test_a_resumed_run_keeps_the_features_of_its_first_start(tmp_path, labelled):
    settings = run_settings(out=tmp_path / "out", data=labelled)
    stopping = {"log_every_n_steps": 1, "callbacks": [stop_in_step(4)]}
    with pytest.raises(RunInterrupted):
        lightly_core.pretrain(**{**settings, "trainer_args": stopping})
    page = (tmp_path / "out/report.html").read_text()
    assert "interrupted" in page
    assert page.count("data-map=") == 1  # before training only
    before = (tmp_path / "out/report_data/before.npz").read_bytes()
    lightly_core.pretrain(**{**run_settings(), **settings, "resume_interrupted": True})
    assert (tmp_path / "out/report_data/before.npz").read_bytes() == before
    images = read_images(tmp_path / "out")
    assert not np.array_equal(images.features["before"], images.features["after"])
    assert (tmp_path / "out/report.html").read_text().count("data-map=") == 2


def test_patch_features_are_coloured_along_their_components():
    maps = np.zeros((2, 3, 4, 4), np.float32)
    maps[:, 0, :, :2], maps[:, 0, :, 2:] = -1, 1  # left and right half differ
    picture = patch_picture(maps)
    assert picture.shape == (4, 8, 3)
    left, right = picture[:, :2, 0], picture[:, 2:4, 0]
    assert (left == left[0, 0]).all()
    assert abs(int(left[0, 0]) - int(right[0, 0])) == 255
    assert patch_picture(np.zeros((2, 3, 1, 1), np.float32)) is None
    assert patch_picture(np.full((2, 3, 4, 4), np.nan, np.float32)) is None


def test_views_are_kept_apart_by_kind(tmp_path):
    views = [torch.zeros(3, 3, side, side) for side in (32, 32, 16, 16, 16)]
    large, small = ViewSpec(size=(32, 32), random_gray_scale=0.2), ViewSpec(size=(16, 16))
    specs = [large, large, small, small, small]
    write_views(tmp_path, views, specs, (0.5,), (0.5,))
    kinds = read_views(tmp_path)
    assert [(kind.name, kind.number, kind.images) for kind in kinds] == [
        ("Global views", 2, 3),
        ("Local views", 3, 3),
    ]
    assert kinds[0].options == ["random_gray_scale: 0.2"]


def write_set(folder, number, dim=8, classes=0):
    """Files of a report with random features and the noisiest thumbnails."""
    data = folder / "report_data"
    rng = np.random.default_rng(0)
    from lightly_core.reporting.pictures import tiled, write_picture

    tiles = list(rng.integers(0, 255, (number, 80, 80, 3), np.uint8))
    write_picture(data / "images.jpg", tiled(tiles, 20), 700_000)
    labels = [index % classes for index in range(number)] if classes else []
    names = [f"{'long' * 60}{index}.jpg" for index in range(number)]
    facts = {"indices": list(range(number)), "names": names, "labels": labels, "columns": 20}
    facts["classes"] = [f"class {index}" for index in range(classes)]
    (data / "images.json").write_text(json.dumps(facts))
    rows = rng.normal(size=(number, dim)).astype(np.float16)
    for state in ("before", "after"):
        np.savez(data / f"{state}.npz", features=rows, indices=np.arange(number))


@pytest.mark.slow
def test_the_page_stays_below_its_limit(run_folder):
    lines = [
        {"step": step, **{f"metric/{name}": math.pi * step for name in range(40)}}
        for step in range(1, 3000)
    ]
    folder = run_folder(lines=lines)
    write_set(folder, 300, classes=30)
    page = render([read_run(folder)], umap=False)
    assert page.count("data-map=") == 2
    assert len(page.encode()) < 5_000_000
    assert map_of(read_images(folder), 0, umap=False).drawn["groups"][-1] == "other images"


@pytest.mark.parametrize("name", ["images.json", "images.jpg", "before.npz", "after.npz"])
def test_a_damaged_file_is_left_out(run_folder, name):
    folder = run_folder()
    write_set(folder, 10)
    (folder / "report_data" / name).write_bytes(b"damaged")
    page = render([read_run(folder)], umap=False)
    maps = {"images.json": 0, "images.jpg": 2}.get(name, 1)
    assert page.count("data-map=") == maps
