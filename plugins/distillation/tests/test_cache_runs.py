"""The cache of the teacher's features in a method, and in whole runs."""

import json
import os
import shutil
import signal

import attrs
import lightning.pytorch as lightning
import pytest
import torch
from short_run import logged, run_settings, write_images

import lightly_core
from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts import Batch
from lightly_core.errors import ConfigError, RunInterrupted
from lightly_core.testing.models import TinyConv
from lightly_distillation.config import (
    DistillationV1Config,
    DistillationV2Config,
    DistillationV3Config,
)
from lightly_distillation.method import DistillationV1, DistillationV2, DistillationV3
from lightly_distillation.teacher import Teacher

VERSIONS = [
    (DistillationV1, DistillationV1Config),
    (DistillationV2, DistillationV2Config),
    (DistillationV3, DistillationV3Config),
]


# ---------------------------------------------------------------------- methods


@pytest.mark.parametrize("version", VERSIONS, ids=["v1", "v2", "v3"])
def test_kept_features_are_those_of_the_teacher(version, token_teacher, make_context, tmp_path):
    method_class, config_class = version
    config = config_class(
        teacher=PythonObject(token_teacher),
        teacher_precision="fp32",
        cache=2,
        cache_dir=str(tmp_path / "c"),
    )
    if hasattr(config, "queue_size"):
        config = attrs.evolve(config, queue_size=16)
    method = method_class(config, TinyConv(), make_context())
    (images,) = torch.randn(1, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch([images], torch.arange(8), view_ids=torch.arange(8) * 2 + 1)
    assert method.training_step(batch, 0).loss.isfinite()
    method.compute_targets = None  # from here on the teacher is not asked
    kept = method.targets(batch, images)
    live = method_class.compute_targets(method, images)
    for one, other in zip(kept, live, strict=True):
        cosine = torch.nn.functional.cosine_similarity(one.flatten(1), other.flatten(1))
        assert cosine.min() >= 0.999
        assert one.shape == other.shape


# ---------------------------------------------------------------------- runs


@pytest.fixture
def run(tmp_path, image_folder, monkeypatch):
    """Do a run of three steps an epoch; returns the loss of each, and how many images a teacher
    with these weights was shown."""
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "default"))

    def do(out, teacher, epochs=3, method="distillationv2", cache=2, **changes):
        shown = []
        forward = Teacher._prepared
        monkeypatch.setattr(
            Teacher, "_prepared", lambda self, x: shown.append(len(x)) or forward(self, x)
        )
        torch.manual_seed(0)
        options = {} if method == "distillationv2" else {"queue_size": 20}
        options = {
            "teacher": teacher,
            "teacher_precision": "fp32",
            "cache": cache,
            "cache_dir": str(tmp_path / "c"),
            **options,
            **changes.pop("method_args", {}),
        }
        settings = {
            "out": tmp_path / out,
            "data": image_folder,
            "model": TinyConv(),
            "method": method,
            "method_args": options,
            "transform_args": {"image_size": 32},
            "epochs": epochs,
            **changes,
        }
        lightly_core.pretrain(**run_settings(**settings))
        monkeypatch.setattr(Teacher, "_prepared", forward)
        rows = {row["step"]: row for row in logged(tmp_path / out) if "train_loss" in row}
        return [rows[step]["train_loss"] for step in sorted(rows)], sum(shown)

    return do


@pytest.mark.slow
@pytest.mark.parametrize("method", ["distillationv1", "distillationv2", "distillationv3"])
def test_the_teacher_works_in_the_first_epochs_only(run, tmp_path, conv_teacher, method):
    cold, shown = run("cold", conv_teacher, method=method)
    tried = 0 if method == "distillationv1" else 1  # for the shape of its map
    assert shown == 2 * 24 + tried
    assert len(cold) == 3 * 3
    warm, shown = run("warm", conv_teacher, method=method)
    assert shown == tried
    assert warm == cold
    assert "(100 % written already)" in (tmp_path / "warm/train.log").read_text()
    config = json.loads((tmp_path / "cold/config.json").read_text())
    assert config["method_args"]["mixup"] is False


@pytest.mark.slow
def test_other_data_seeds_and_transforms_do_not_meet(run, tmp_path, conv_teacher):
    run("first", conv_teacher, epochs=1, cache=1)
    changes = [
        {"data": write_images(tmp_path / "others", seed=1)},
        {"seed": 1},
        {"transform_args": {"image_size": 32, "random_gray_scale": 0.0}},
        {"precision": "64-true"},
    ]
    for number, change in enumerate(changes):
        assert run(f"other{number}", conv_teacher, epochs=1, cache=1, **change)[1] == 24 + 1
    moved = shutil.copytree(tmp_path / "images", tmp_path / "moved")  # keeps times
    assert run("again", conv_teacher, epochs=1, cache=1, data=moved)[1] == 1


@pytest.mark.slow
def test_an_unreadable_image_is_not_kept_for_another(run, tmp_path, conv_teacher):
    (tmp_path / "images/05.png").write_bytes(b"no picture")
    _, shown = run("out", conv_teacher, epochs=3, cache=2, max_skipped=0.5)
    assert shown == 2 * 23 + 3 + 1
    # Its place is taken by another image, for which the teacher is asked each time.


class Stop(lightning.Callback):
    """Sends Ctrl-C to the process itself in the fourth step."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_its_cache(run, conv_teacher):
    whole, _ = run("whole", conv_teacher, method_args={"cache_dir": None})
    stopping = {"log_every_n_steps": 1, "callbacks": [Stop()]}
    with pytest.raises(RunInterrupted):
        run("out", conv_teacher, trainer_args=stopping)
    resumed, shown = run("out", conv_teacher, resume_interrupted=True)
    assert resumed == whole
    assert shown == 24 - 8 + 1  # the step in which it was stopped was the first of the second epoch


class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return torch.rand(3, 32, 32)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"method_args": {"mixup": True}}, ConfigError, "mixup=true and cache=2"),
        ({"cache": 0}, ConfigError, "cache.* must be >= 1"),
        ({"method_args": {"cache_max_gb": 1e-6}}, ConfigError, "more than cache_max_gb=1e-06"),
        ({"data": Noise()}, lightly_core.LightlyError, "changes each time"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    run, tmp_path, conv_teacher, changes, error, text
):
    with pytest.raises(error, match=text):
        run("out", conv_teacher, **changes)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "c").exists()
