"""An interrupted run that is resumed takes the same steps as one that was left alone."""

import functools
import json

import pytest
import torch
from run_states import stop_in_step

from lightly_core.errors import ConfigError, RunInterrupted


def comparable(lines):
    names = ("step", "epoch", "train_loss", "lr", "grad_norm")
    return [{name: line[name] for name in names} for line in lines]


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("stop_after", "changes"),
    [
        (2, {}),
        slow(3, {}),  # the last step of an epoch
        slow(5, {}),
        slow(4, {"optim": "adamw"}),
        slow(3, {"gradient_accumulation_steps": 2, "epochs": 4}),
        slow(5, {"num_workers": 2, "in_memory": False}),
        slow(4, {"seed": None}),
    ],
)
def test_resuming_continues_exactly(
    stop_after, changes, pretrain, short_run, read_metrics, tmp_path, finished
):
    stopping = {"log_every_n_steps": 1, "callbacks": [stop_in_step(stop_after)]}
    with pytest.raises(RunInterrupted, match="resume_interrupted=true"):
        pretrain(**short_run(**changes, trainer_args=stopping))
    out = short_run()["out"]
    assert read_metrics(out)[-1]["step"] == stop_after
    resumed = pretrain(**short_run(**changes, resume_interrupted=True))
    if changes.get("seed", 0) is None:
        config = json.loads((out / "config.json").read_text())
        assert config["derived"]["seed_drawn"]
        changes = {"seed": config["seed"]}
    whole = finished.result
    if changes:
        changes = {**changes, "num_workers": 0, "out": tmp_path / "whole"}
        whole = pretrain(**short_run(**changes))
    assert comparable(read_metrics(resumed.folder)) == comparable(read_metrics(whole.folder))
    tensors = [torch.load(r.exported[0], weights_only=True) for r in (resumed, whole)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@pytest.mark.slow
def test_metrics_of_an_interval_that_was_cut_are_not_lost(
    pretrain, short_run, read_metrics, tmp_path
):
    every = {"log_every_n_steps": 3}
    with pytest.raises(RunInterrupted):
        pretrain(**short_run(epochs=3, trainer_args={**every, "callbacks": [stop_in_step(4)]}))
    resumed = pretrain(**short_run(epochs=3, trainer_args=every, resume_interrupted=True))
    whole = pretrain(**short_run(epochs=3, trainer_args=every, out=tmp_path / "whole"))
    losses = [[line["train_loss"] for line in read_metrics(r.folder)] for r in (resumed, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_changed_settings_are_refused_and_named(pretrain, short_run, finished_out):
    changed = short_run(resume_interrupted=True, batch_size=4, optim_args={"lr": 0.1})
    with pytest.raises(ConfigError, match="batch_size") as caught:
        pretrain(**changed)
    assert "optim_args.lr" in str(caught.value)


def test_promise_06_resume_alone_works_and_warns(pretrain, short_run, finished_out):
    with pytest.warns(FutureWarning, match="resume_interrupted"):
        pretrain(**short_run(resume=True))


def test_resuming_a_finished_run_changes_nothing(pretrain, short_run, read_metrics, finished_out):
    lines = read_metrics(finished_out)
    second = pretrain(**short_run(resume_interrupted=True))
    assert read_metrics(second.folder) == lines


def test_nothing_to_resume_is_an_error_not_a_new_run(pretrain, short_run, tmp_path):
    with pytest.raises(ConfigError, match="nothing to resume"):
        pretrain(**short_run(resume_interrupted=True))
    assert not (tmp_path / "out").exists()


def test_the_same_images_may_have_moved(pretrain, short_run, finished_out, image_folder, tmp_path):
    moved = tmp_path / "scratch/elsewhere"
    moved.mkdir(parents=True)
    for path in image_folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())  # with other times
    pretrain(**short_run(resume_interrupted=True, data=moved))


@pytest.mark.slow
def test_another_content_behind_the_same_path_is_refused(pretrain, short_run, own_images):
    pretrain(**short_run(data=own_images))
    data = bytearray((own_images / "17.png").read_bytes())
    data[-20] ^= 1
    (own_images / "17.png").write_bytes(data)
    with pytest.raises(ConfigError, match="data: the content of images has changed"):
        pretrain(**short_run(data=own_images, resume_interrupted=True))
    (own_images / "17.png").write_bytes(data + b"x")
    with pytest.raises(ConfigError, match="data: the sizes of files have changed"):
        pretrain(**short_run(data=own_images, resume_interrupted=True))
    (own_images / "17.png").rename(own_images / "17b.png")
    with pytest.raises(ConfigError, match="data: the names"):
        pretrain(**short_run(data=own_images, resume_interrupted=True))
