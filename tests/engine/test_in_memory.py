"""Runs on small images that are decoded once, and on the same images decoded each time."""

import json
import os
import signal

import lightning.pytorch as lightning
import pytest
import torch
from PIL import Image

from lightly_core.errors import ConfigError, RunInterrupted


class Stop(lightning.Callback):
    """Sends Ctrl-C to the process itself in the fourth step, which is in the second epoch."""

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)


def losses(read_metrics, result):
    return [line["train_loss"] for line in read_metrics(result.folder) if "train_loss" in line]


def log(result):
    return (result.folder / "train.log").read_text()


def test_both_ways_train_alike(pretrain, short_run, read_metrics, tmp_path, image_folder):
    (image_folder / "05.png").write_bytes(b"")
    runs = [
        pretrain(**short_run(out=tmp_path / str(kept), in_memory=kept)) for kept in (True, False)
    ]
    fast, slow = (losses(read_metrics, run) for run in runs)
    assert len(fast) == 6
    assert fast == pytest.approx(slow, abs=1e-3)
    assert fast != slow  # pixels are rounded a little differently
    tables = [(run.folder / "skipped_images.csv").read_text() for run in runs]
    assert tables[0] == tables[1]
    assert "Images are kept in memory: all images have 24 x 20 pixels" in log(runs[0])
    assert "not kept in memory: in_memory=false" in log(runs[1])


def test_small_images_are_kept_unasked_and_this_is_recorded(
    pretrain, short_run, read_metrics, tmp_path
):
    runs = [
        pretrain(**short_run(out=tmp_path / name, **setting))
        for name, setting in (("auto", {}), ("asked", {"in_memory": True}))
    ]
    assert losses(read_metrics, runs[0]) == losses(read_metrics, runs[1])
    config = json.loads((runs[0].folder / "config.json").read_text())
    assert config["in_memory"] is True
    assert config["derived"]["memory"]["reason"].startswith("all images have 24 x 20 pixels")


@pytest.mark.parametrize("in_memory", [True, False])
def test_resuming_continues_exactly(in_memory, pretrain, short_run, read_metrics, tmp_path):
    settings = {"in_memory": in_memory, "epochs": 3}
    stopping = {"log_every_n_steps": 1, "callbacks": [Stop()]}
    with pytest.raises(RunInterrupted):
        pretrain(**short_run(**settings, trainer_args=stopping))
    resumed = pretrain(**short_run(**settings, resume_interrupted=True))
    whole = pretrain(**short_run(**settings, out=tmp_path / "whole"))
    assert losses(read_metrics, resumed) == losses(read_metrics, whole)
    tensors = [torch.load(run.exported[0], weights_only=True) for run in (resumed, whole)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_a_run_cannot_go_on_the_other_way(pretrain, short_run):
    pretrain(**short_run(epochs=1))
    with pytest.raises(ConfigError, match="in_memory: was True, now False"):
        pretrain(**short_run(epochs=1, in_memory=False, resume_interrupted=True))


def test_one_image_of_another_size(pretrain, short_run, image_folder, tmp_path):
    Image.new("RGB", (30, 20)).save(image_folder / "05.png")  # not among those looked at first
    with pytest.raises(ConfigError, match=r"'05.png' has 30 x 20 pixels, '00.png' has 24 x 20"):
        pretrain(**short_run(in_memory=True))
    assert not (tmp_path / "out").exists()
    result = pretrain(**short_run(epochs=1))
    assert "not kept in memory: '05.png' has 30 x 20 pixels" in log(result)


def test_loader_args_without_effect_are_named_once(pretrain, short_run):
    result = pretrain(**short_run(epochs=1, loader_args={"timeout": 0, "pin_memory": False}))
    assert log(result).count("loader_args.timeout, loader_args.pin_memory: no effect") == 1


def test_wrong_loader_args_are_refused_all_the_same(pretrain, short_run):
    with pytest.raises(ConfigError, match="did you mean 'prefetch_factor'"):
        pretrain(**short_run(loader_args={"prefetch_facto": 2}))


def test_an_export_without_training_reads_no_images(pretrain, short_run):
    assert "Images are" not in log(pretrain(**short_run(epochs=0)))
