"""What runs show of the features while they train."""

import logging
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

import lightly_core
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import EvalTransform
from lightly_core.errors import ConfigError, DataError, RunInterrupted
from lightly_core.evaluation.knn import weighted_knn

SIGNALS = ("embedding/std", "rank/rankme", "rank/effective")


def draw_classes(folder, names, count, seed):
    """Noisy images whose colour says the class."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(sorted(names)):
        (folder / name).mkdir(parents=True)
        colour = np.eye(3)[number % 3] * 120 + 60
        for index in range(count):
            pixels = np.clip(colour + rng.integers(-60, 60, (20, 24, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder of 16 training images a class, and one of 5 validation images a class."""
    folder = tmp_path_factory.mktemp("labelled")
    train = draw_classes(folder / "train", ("ape", "bee"), 16, seed=1)
    val = draw_classes(folder / "val", ("ape", "bee"), 5, seed=2)
    return {"data": train, "val_data": val}


@pytest.fixture(scope="module")
def measured(labelled, tmp_path_factory, settings_of):
    """A run with labels that is measured every two of three epochs, for tests that only look."""
    settings = settings_of(
        **labelled,
        out=tmp_path_factory.mktemp("measured") / "out",
        epochs=3,
        callbacks={
            "knn": {"every_n_epochs": 2, "k": 5, "temperature": 0.1},
            "linear": {"penalty": 0.01},
        },
    )
    return lightly_core.pretrain(**settings), settings["model"]


def steps_with(lines, name):
    return [line["step"] for line in lines if name in line]


# ------------------------------------------------------------------- signals


def test_signals_are_there_by_default_before_and_after(finished, read_lines):
    lines = read_lines(finished.result.folder)
    for name in SIGNALS:
        assert steps_with(lines, name) == [0, 6]
    first, last = (line for line in lines if SIGNALS[0] in line)
    assert first["rank/rankme"] != last["rank/rankme"]


@pytest.mark.slow
def test_signals_every_n_epochs_and_after_the_last(pretrain, short_run, read_lines):
    result = pretrain(**short_run(epochs=5, callbacks={"signals": {"every_n_epochs": 2}}))
    assert steps_with(read_lines(result.folder), "rank/rankme") == [0, 6, 12, 15]
    assert result.metrics["rank/rankme"] >= 1


@pytest.mark.slow
def test_signals_can_be_switched_off(pretrain, short_run, read_lines):
    lines = read_lines(pretrain(**short_run(callbacks={"signals": None})).folder)
    assert not steps_with(lines, "rank/rankme")


@pytest.mark.slow
def test_signals_change_nothing_of_the_training(pretrain, short_run, read_metrics, tmp_path):
    often = {"signals": {"every_n_epochs": 1}}
    with_signals = pretrain(**short_run(callbacks=often, epochs=3))
    without = pretrain(**short_run(callbacks={"signals": None}, epochs=3, out=tmp_path / "without"))
    tensors = [torch.load(r.exported[0], weights_only=True) for r in (with_signals, without)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    losses = [
        [line["train_loss"] for line in read_metrics(r.folder)] for r in (with_signals, without)
    ]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_training_that_ends_early_is_still_measured_at_its_end(pretrain, short_run, read_lines):
    stopping = {
        "early_stopping": {"patience": 1, "min_delta": 100.0},
        "signals": {"every_n_epochs": 100},
    }
    lines = read_lines(pretrain(**short_run(callbacks=stopping, epochs=6)).folder)
    last = max(line["step"] for line in lines)
    assert last < 18
    assert steps_with(lines, "rank/rankme") == [0, last]


# ------------------------------------------------------------------- labels


@pytest.mark.slow
def test_val_data_is_classified_every_n_epochs_by_both_classifiers(measured, read_lines):
    result, _ = measured
    lines = read_lines(result.folder)
    for name in ("knn/top1", "knn/top5", "linear/top1", "linear/top5"):
        assert steps_with(lines, name) == [0, 8, 12]
    accuracies = [line["knn/top1"] for line in lines if "knn/top1" in line]
    assert (result.knn_before, result.knn_after) == (accuracies[0], accuracies[-1])
    assert "10 images by 32 others, k=5" in (result.folder / "train.log").read_text()


def test_the_online_accuracy_is_that_of_the_exported_file(measured, labelled, tiny_wrapper):
    result, _ = measured
    tiny_wrapper.get_model().load_state_dict(torch.load(result.exported[0], weights_only=True))
    tiny_wrapper.eval()
    features, targets = {}, {}
    for side, folder in labelled.items():
        source = open_source(str(folder))
        transform = EvalTransform(16, short_normalize(result), 3, "bicubic")
        rows = [transform.sample(source.load(i), None, i) for i in range(len(source))]
        pixels = torch.stack([row.views[0] for row in rows])
        images = transform.views([pixels], [torch.stack([row.parameters[0] for row in rows])])[0]
        with torch.no_grad():
            pooled = tiny_wrapper.forward_pool(tiny_wrapper.forward_features(images))
        features[side] = pooled["pooled_features"].flatten(1)
        targets[side] = torch.from_numpy(source.labels().targets)
    offline = weighted_knn(
        features["data"], targets["data"], features["val_data"], targets["val_data"],
        num_classes=2, k=5, temperature=0.1,
    )  # fmt: skip
    assert result.metrics["knn/top1"] == offline.top1
    assert result.metrics["knn/top5"] == offline.top5


def test_the_online_accuracies_are_those_of_lightly_evaluate(measured, labelled):
    result, model = measured
    offline = lightly_core.evaluate(
        model=model,
        **labelled,
        image_size=16,
        knn={"k": 5, "temperature": 0.1},
        linear={"penalties": (0.01,)},
        num_workers=0,
        accelerator="cpu",
    )
    assert result.metrics["knn/top1"] == offline.top1("knn", k=5)
    assert result.metrics["linear/top1"] == offline.top1("linear")


def short_normalize(result):
    """Normalisation that the run recorded."""
    import json

    from lightly_core.config.options.augmentations import NormalizeArgs

    config = json.loads((result.folder / "config.json").read_text())
    return NormalizeArgs(**{k: tuple(v) for k, v in config["transform_args"]["normalize"].items()})


@pytest.mark.slow
def test_without_val_data_there_is_no_linear_classifier(pretrain, short_run, read_lines, labelled):
    often = {"knn": {"every_n_epochs": 1}}
    result = pretrain(**short_run(data=labelled["data"], callbacks=often))
    lines = read_lines(result.folder)
    assert steps_with(lines, "knn/top1") == [0, 4, 8]
    assert not steps_with(lines, "linear/top1")


@pytest.mark.slow
def test_unlabelled_data_with_labelled_val_data(pretrain, short_run, labelled):
    result = pretrain(**short_run(val_data=labelled["data"], epochs=1))
    assert 0 <= result.knn_after <= 1
    assert "data has no labels" in (result.folder / "train.log").read_text()


@pytest.mark.slow
def test_every_auto_is_resolved_in_the_recorded_configuration(pretrain, short_run, labelled):
    result = pretrain(**short_run(**labelled, epochs=1))
    text = (result.folder / "config.json").read_text().replace('"strategy": "auto"', "")
    assert '"auto"' not in text


@pytest.mark.slow
def test_val_data_may_change_when_a_run_goes_on(pretrain, short_run, labelled, tmp_path):
    def stop_in_the_second_step(trainer, *_):
        if trainer.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    from lightning.pytorch.callbacks import LambdaCallback

    stop = LambdaCallback(on_train_batch_start=stop_in_the_second_step)
    with pytest.raises(RunInterrupted):
        pretrain(**short_run(**labelled, epochs=1, trainer_args={"callbacks": [stop]}))
    other = draw_classes(tmp_path / "other", ("ape", "bee"), 3, seed=3)
    changed = {**labelled, "val_data": other}
    result = pretrain(**short_run(**changed, epochs=1, resume_interrupted=True))
    log = (result.folder / "train.log").read_text()
    assert "kNN top-1 before training: " in log
    assert "(10 images by 32 others" in log
    assert "(6 images by 32 others" in log.split("kNN top-1 at step 4: ")[1]


# ------------------------------------------------------------------- bad input


def refused(pretrain, settings, match, error=ConfigError):
    with pytest.raises(error, match=match):
        pretrain(**settings)
    assert not settings["out"].exists()


def test_val_data_that_does_not_exist(pretrain, short_run, tmp_path):
    settings = short_run(val_data=tmp_path / "nowhere")
    refused(pretrain, settings, r"config\.val_data: .*nowhere' does not exist")


def test_val_data_without_images(pretrain, short_run, tmp_path):
    (tmp_path / "empty").mkdir()
    settings = short_run(val_data=tmp_path / "empty")
    refused(pretrain, settings, r"config\.val_data: no images", DataError)


def test_val_data_without_labels(pretrain, short_run, labelled, image_folder):
    settings = short_run(data=labelled["data"], val_data=image_folder)
    refused(
        pretrain, settings, r"config\.val_data: no labels: .*is not in a class folder", DataError
    )


def test_val_data_of_one_class(pretrain, short_run, labelled):
    folder = labelled["val_data"] / "ape"
    refused(
        pretrain,
        short_run(data=labelled["data"], val_data=folder),
        "is not in a class folder",
        DataError,
    )


def test_val_data_of_other_classes(pretrain, short_run, labelled, tmp_path):
    other = draw_classes(tmp_path / "other", ("cow", "dog"), 3, seed=3)
    settings = short_run(data=labelled["data"], val_data=other)
    refused(pretrain, settings, "2 classes without any image in data: .*cow.*dog", DataError)


def test_val_data_that_is_data(pretrain, short_run, labelled):
    settings = short_run(data=labelled["data"], val_data=str(labelled["data"]) + "/")
    refused(pretrain, settings, "got the same images as data")


def test_val_data_with_the_knn_off(pretrain, short_run, labelled):
    settings = short_run(**labelled, callbacks={"knn": None})
    refused(pretrain, settings, r"it is not used, since callbacks\.knn is off")


@pytest.mark.parametrize(
    ("monitor", "changes", "message"),
    [
        ("knn/top1", {}, "no 'knn/top1' in this run: no labels"),
        ("knn/top1", {"knn": None}, "callbacks.knn is off"),
        ("linear/top1", {}, "no labels"),
        ("rank/rankme", {"signals": None}, "callbacks.signals is off"),
        ("knn/top2", {}, "there is no metric 'knn/top2', .*known: train_loss"),
    ],
)
@pytest.mark.parametrize("callback", ["model_checkpoint", "early_stopping"])
def test_a_monitor_that_can_never_exist(pretrain, short_run, callback, monitor, changes, message):
    args = {"monitor": monitor, **({"patience": 3} if callback == "early_stopping" else {})}
    settings = short_run(callbacks={callback: args, **changes})
    refused(pretrain, settings, rf"config\.callbacks\.{callback}\.monitor: .*{message}")


def test_a_linear_monitor_needs_val_data(pretrain, short_run, labelled):
    args = {"model_checkpoint": {"monitor": "linear/top1"}}
    settings = short_run(data=labelled["data"], callbacks=args)
    refused(pretrain, settings, "no 'linear/top1' in this run: it needs val_data")


@pytest.mark.slow
def test_fewer_images_than_neighbours_are_noted(pretrain, short_run, labelled, caplog):
    with caplog.at_level(logging.INFO, logger="lightly_core"):
        result = pretrain(**short_run(**labelled, epochs=1, callbacks={"knn": {"k": 200}}))
    text = (result.folder / "train.log").read_text()
    assert text.count("k reduced from 200 to the number of images, 32") == 1
