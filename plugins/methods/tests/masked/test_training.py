"""Several steps: the teacher's average, whole runs, what is exported."""

import itertools
import json
import os
import signal
from dataclasses import replace

import lightning.pytorch as lightning
import pytest
import torch

import lightly_core
from lightly_core.config.options.method import RunFacts
from lightly_core.errors import ConfigError, RunInterrupted
from lightly_core.models.wrapping import get_wrapped_model
from lightly_core.testing.models import TinyConv, TinyTokens

WITH_TEACHER = ["msn", "pmsn", "ijepa", "capi"]
ALL = ["mae", "simmim", *WITH_TEACHER]


@pytest.mark.parametrize("name", WITH_TEACHER)
def test_the_teacher_is_the_moving_average_of_the_student(make_case, name):
    case = make_case(name, momentum_start=0.7)
    method, batch = case.build(), case.batch()
    student = dict(method.student())
    average = {
        (key, path): p.detach().double()
        for key, module in student.items()
        for path, p in module.named_parameters()
    }
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2)
    for step in range(6):
        optimizer.zero_grad()
        method.training_step(batch, step).loss.backward()
        optimizer.step()
        with torch.no_grad():
            method.after_step(step + 1)
        m = method.momentum(step)
        for key, path in average:
            p = student[key].get_parameter(path).detach().double()
            average[key, path] = m * average[key, path] + (1 - m) * p
    moved = 0.0
    for (key, path), expected in average.items():
        copied = method.teacher[key].get_parameter(path)
        torch.testing.assert_close(copied.double(), expected, rtol=1e-5, atol=1e-7)
        moved += (student[key].get_parameter(path) - copied).abs().sum().item()
    assert moved > 1e-3


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("msn", 0.9, 1 - 0.1 * (1 - 99 / 124)), ("ijepa", 0.9, 1.0)],
)
def test_the_momentum_rises_on_a_line(make_case, name, first, last):
    method = make_case(name, momentum_start=0.9).build()
    momenta = [method.momentum(step) for step in range(100)]
    assert (momenta[0], momenta[99]) == (pytest.approx(first), pytest.approx(last))
    steps = [b - a for a, b in itertools.pairwise(momenta)]
    assert max(steps) == pytest.approx(min(steps))


@pytest.mark.parametrize(
    ("name", "steps", "momentum"),
    [
        *[("msn", 100, 0.9), ("msn", 5000, 0.99), ("msn", 100_000, 0.996)],
        *[("ijepa", 100, 0.99), ("capi", 100_000, 0.999), ("pmsn", 0, 0.9)],
    ],
)
def test_the_momentum_follows_the_length_of_the_run(make_case, name, steps, momentum):
    facts = RunFacts(
        dataset_size=100, effective_batch_size=8, total_steps=steps, steps_per_epoch=10
    )
    config_class = make_case(name).config_class
    assert config_class().resolve(facts).momentum_start == pytest.approx(momentum)
    assert config_class(momentum_start=0.5).resolve(facts).momentum_start == 0.5


@pytest.mark.parametrize("name", WITH_TEACHER)
@pytest.mark.parametrize("export", ["teacher", "student"])
def test_what_is_exported_can_be_chosen(make_case, name, export):
    method = make_case(name, export=export).build()
    expected = method.teacher["backbone"] if export == "teacher" else method.model
    assert method.exported_wrapper() is expected


@pytest.mark.parametrize("name", ["mae", "simmim"])
def test_without_teacher_the_backbone_is_exported(make_case, name):
    method = make_case(name).build()
    assert method.exported_wrapper() is method.model


@pytest.fixture
def run(tmp_path, image_folder, small_options):
    """Do a run of six steps."""

    def do(name, **changes):
        torch.manual_seed(0)
        values = {
            "out": tmp_path / "out",
            "data": image_folder,
            "model": TinyTokens(),
            "method": name,
            "method_args": small_options[name],
            "transform_args": {"image_size": 32},
            "epochs": 2,
            "batch_size": 8,
            "num_workers": 0,
            "precision": "32-true",
            "accelerator": "cpu",
            "loggers": {"tensorboard": None},
            "trainer_args": {"log_every_n_steps": 1},
        }
        if name in ("msn", "pmsn"):
            values["transform_args"]["local_view"] = {"num_views": 2, "view_size": 16}
        return lightly_core.pretrain(**{**values, **changes})

    return do


class Stop(lightning.Callback):
    """Sends Ctrl-C to the process itself in the fourth step."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)


def losses_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["train_loss"] for line in lines if "train_loss" in line}


@pytest.mark.families
@pytest.mark.parametrize("name", ["simmim", "msn", "capi"])
def test_an_interrupted_run_goes_on_exactly(run, tmp_path, name):
    run(name, out=tmp_path / "whole")
    stopping = {"log_every_n_steps": 1, "callbacks": [Stop()]}
    with pytest.raises(RunInterrupted):
        run(name, trainer_args=stopping)
    run(name, resume_interrupted=True)
    whole, resumed = (losses_of(tmp_path / folder) for folder in ("whole", "out"))
    assert whole == resumed
    assert max(whole) == 6
    files = [tmp_path / f / "exported_models/exported_last.pt" for f in ("whole", "out")]
    first, second = (torch.load(file, weights_only=True) for file in files)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_a_run_exports_the_teachers_backbone_in_the_models_own_form(run, tmp_path):
    run("ijepa")
    weights = torch.load(tmp_path / "out/exported_models/exported_last.pt", weights_only=True)
    fresh = TinyTokens().get_model()
    fresh.load_state_dict(weights, strict=True)
    state = torch.load(tmp_path / "out/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    (teacher,) = {key.partition("teacher.")[0] for key in state if "teacher.backbone" in key}
    for key, tensor in weights.items():
        assert torch.equal(tensor, state[f"{teacher}teacher.backbone._model.{key}"])


@pytest.mark.families
def test_the_arguments_of_the_seeds_work_with_msn(run, tmp_path):
    run("msn", method_args={"teacher_momentum": 0.996, "student_temp": 0.2}, epochs=1)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["method"] == "msn"
    assert config["method_args"]["momentum_start"] == 0.996
    assert config["method_args"]["temperature"] == 0.2
    assert config["method_args"]["num_prototypes"] == 1024
    assert config["derived"]["gradient_clip_val"] == 3.0


@pytest.mark.parametrize("name", ["mae", "msn"])
def test_a_run_with_a_convolutional_network_stops_before_it_begins(run, tmp_path, name):
    with pytest.raises(ConfigError, match="vision transformer"):
        run(name, model=TinyConv())
    assert not (tmp_path / "out/checkpoints").exists()


@pytest.mark.parametrize(("name", "num_views"), [("mae", 2), ("msn", 1)])
def test_a_run_with_a_wrong_number_of_views_names_the_setting(run, name, num_views):
    with pytest.raises(ConfigError, match="num_views"):
        run(name, transform_args={"image_size": 32, "num_views": num_views})


TINY = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2}
MODELS = {
    "timm": ("timm/vit_tiny_patch16_224", {**TINY, "patch_size": 8, "dynamic_img_size": True}),
    "timm_pools_mean": (
        "timm/vit_tiny_patch16_224",
        {
            **{**TINY, "patch_size": 8, "dynamic_img_size": True},
            **{"class_token": False, "global_pool": "avg", "fc_norm": False},
        },
    ),
    "dinov2": ("dinov2/vits14-notpretrained", {"depth": 2}),
    "dinov3": ("dinov3/vits16-notpretrained", {"depth": 2}),
}


@pytest.mark.families
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("model", MODELS)
def test_transformers_of_the_three_libraries_learn(make_case, name, model):
    torch.manual_seed(0)
    path, arguments = MODELS[model]
    wrapper = get_wrapped_model(path, model_args=arguments)
    size = 4 * wrapper.patch_size()
    case = make_case(name, batch_size=4, image_size=size, wrapper=lambda: wrapper)
    method, batch = case.build(), case.batch()
    loss = method.training_step(batch, 0).loss
    loss.backward()
    assert loss.isfinite()
    gradients = [p.grad for p in wrapper.parameters() if p.requires_grad and p.grad is not None]
    assert sum(g.abs().sum() for g in gradients) > 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_half_precision_gives_nearly_the_same_loss(make_case, name, how):
    case = make_case(name)
    method, batch = case.build(), case.batch()
    expected = method.training_step(batch, 0).loss.item()
    if how == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = method.training_step(batch, 0).loss
    else:
        views = [view.bfloat16() for view in batch.views]
        loss = method.bfloat16().training_step(replace(batch, views=views), 0).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=0.05)
    loss.backward()
