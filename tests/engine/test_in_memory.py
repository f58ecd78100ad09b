"""Runs on small images that are decoded once, and on the same images decoded each time."""

import json

import pytest
from PIL import Image

from lightly_core.errors import ConfigError


def losses(read_metrics, result):
    return [line["train_loss"] for line in read_metrics(result.folder) if "train_loss" in line]


def log(result):
    return (result.folder / "train.log").read_text()


@pytest.mark.slow
def test_both_ways_train_alike(pretrain, short_run, read_metrics, tmp_path, own_images):
    (own_images / "05.png").write_bytes(b"")
    runs = [
        pretrain(**short_run(out=tmp_path / str(kept), data=own_images, in_memory=kept))
        for kept in (True, False)
    ]
    fast, slow = (losses(read_metrics, run) for run in runs)
    assert len(fast) == 6
    assert fast == pytest.approx(slow, abs=1e-3)
    assert fast != slow  # pixels are rounded a little differently
    tables = [(run.folder / "skipped_images.csv").read_text() for run in runs]
    assert tables[0] == tables[1]
    assert "Images are kept in memory: all images have 24 x 20 pixels" in log(runs[0])
    assert "not kept in memory: in_memory=false" in log(runs[1])


@pytest.mark.slow
def test_small_images_are_kept_unasked_and_this_is_recorded(
    pretrain, short_run, read_metrics, finished
):
    asked = pretrain(**short_run(in_memory=True))
    assert losses(read_metrics, finished.result) == losses(read_metrics, asked)
    config = json.loads((finished.result.folder / "config.json").read_text())
    assert config["in_memory"] is True
    assert config["derived"]["memory"]["reason"].startswith("all images have 24 x 20 pixels")


def test_a_run_cannot_go_on_the_other_way(pretrain, short_run, finished_out):
    with pytest.raises(ConfigError, match="in_memory: was True, now False"):
        pretrain(**short_run(in_memory=False, resume_interrupted=True))


@pytest.mark.slow
def test_one_image_of_another_size(pretrain, short_run, own_images, tmp_path):
    Image.new("RGB", (30, 20)).save(own_images / "05.png")  # not among those looked at first
    with pytest.raises(ConfigError, match=r"'05.png' has 30 x 20 pixels, '00.png' has 24 x 20"):
        pretrain(**short_run(data=own_images, in_memory=True))
    assert not (tmp_path / "out").exists()
    result = pretrain(**short_run(data=own_images, epochs=1))
    assert "not kept in memory: '05.png' has 30 x 20 pixels" in log(result)


@pytest.mark.slow
def test_loader_args_without_effect_are_named_once(pretrain, short_run):
    result = pretrain(**short_run(epochs=1, loader_args={"timeout": 0, "pin_memory": False}))
    assert log(result).count("loader_args.timeout, loader_args.pin_memory: no effect") == 1


def test_wrong_loader_args_are_refused_all_the_same(pretrain, short_run):
    with pytest.raises(ConfigError, match="did you mean 'prefetch_factor'"):
        pretrain(**short_run(loader_args={"prefetch_facto": 2}))


def test_an_export_without_training_reads_no_images(pretrain, short_run):
    assert "Images are" not in log(pretrain(**short_run(epochs=0)))
