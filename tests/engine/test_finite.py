"""Nothing that is not finite is written, and the step that went wrong is named and kept."""

import copy
import os
import re
from unittest import mock

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from PIL import Image
from torch import nn

import lightly_core
from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.engine.callbacks.finite import FiniteCallback
from lightly_core.engine.finite import FiniteWatch, cancel_step, non_finite
from lightly_core.engine.folder import RunFolder
from lightly_core.errors import RunError
from lightly_core.optim.lars import LARS
from lightly_core.testing import shared_pair

WHITE = "13.png"
# The step of two epochs of six that sees the white image first.
EVERY_EPOCH = {"min_seconds_between": 0}


class Fragile(nn.Module):
    """Divides by the contrast of the images: fails where one has a single colour, or never."""

    def __init__(self, where):
        super().__init__()
        self.where = where
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.body.scale = nn.Parameter(torch.ones(()))

    def forward_features(self, x):
        contrast = x.flatten(2).std(dim=2).mean(dim=1).round(decimals=4)[:, None, None, None]
        features = self.body(x)
        if self.where == "nowhere":
            return {"features": features * self.body.scale}
        if self.where == "loss":
            return {"features": features * self.body.scale / contrast}
        # The root is 0 where the contrast is, its derivative is not a number.
        return {"features": features * (1 + (self.body.scale * contrast).sqrt())}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return 8

    def get_model(self):
        return self.body


@pytest.fixture
def with_white_image(own_images):
    Image.fromarray(np.full((20, 24, 3), 255, np.uint8)).save(own_images / WHITE)
    return own_images


@pytest.fixture
def fragile_run(short_run, with_white_image):
    """Settings of a run of four epochs, logged at its end only, whose fifth step or so fails."""

    def settings(where="loss", **changes):
        torch.manual_seed(0)
        values = {
            "data": with_white_image,
            "model": Fragile(where),
            "batch_size": 4,
            "epochs": 2,
            "transform_args": {"image_size": 16, "color_jitter": None, "solarize": None},
            "callbacks": {"model_checkpoint": EVERY_EPOCH, "model_export": EVERY_EPOCH},
            "trainer_args": {"log_every_n_steps": 1000},
        }
        return short_run(**{**values, **changes})

    return settings


def tensors_in(path):
    def walk(value):
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from walk(inner)

    return walk(torch.load(path, weights_only=True))


def written(out):
    return [*out.glob("checkpoints/*.ckpt"), *out.glob("exported_models/*.pt")]


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_the_step_is_named_and_can_be_taken_again(
    where, accumulation, pretrain, fragile_run, tmp_path
):
    settings = fragile_run(where, gradient_accumulation_steps=accumulation)
    with pytest.raises(
        RunError, match=rf"the {where} of step (\d) \(epoch 1, .*'{WHITE}'"
    ) as error:
        pretrain(**settings)
    assert "No checkpoint had been written yet" in str(error.value)
    assert written(tmp_path / "out") == []
    (kept,) = (tmp_path / "out/non_finite").iterdir()
    assert f"of {kept.stem.replace('=', ' ')} " in str(error.value)
    again = lightly_core.replay(kept, **fragile_run(where, out=tmp_path / "unused"))
    assert WHITE in again.images
    assert {batch.num_global for batch in again.batches} == {2}
    assert len(again.losses) == (accumulation if where == "gradient" else 1)
    assert torch.stack(again.losses).isfinite().all().item() == (where == "gradient")
    assert not again.method.model.body.scale.grad.isfinite()
    assert non_finite(again.method.named_parameters()) == []
    assert not (tmp_path / "unused").exists()


@pytest.mark.slow
def test_every_batch_of_a_run_can_be_created_again(pretrain, short_run):
    seen, again = {}, {}

    def keep(trainer, module, batch, index):
        seen[trainer.current_epoch, index] = batch

    def create(trainer, module):
        again.update({place: module.make_batch(*place, rank=0) for place in seen})

    callback = LambdaCallback(on_train_batch_start=keep, on_train_end=create)
    pretrain(**short_run(trainer_args={"callbacks": [callback]}))
    assert list(seen) == [(epoch, index) for epoch in (0, 1) for index in (0, 1, 2)]
    for place, batch in seen.items():
        assert torch.equal(again[place].indices, batch.indices)
        assert all(map(torch.equal, again[place].views, batch.views))


POISONS = {
    "parameter": lambda module: module.method.model.body[0].weight.data[0, 0, 0].fill_(torch.nan),
    "buffer": lambda module: module.method.model.body[1].running_var.fill_(torch.inf),
    "optimizer": lambda module: next(iter(module.trainer.optimizers[0].state.values()))[
        "momentum_buffer"
    ].fill_(torch.inf),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", POISONS)
def test_what_was_written_before_stays(kind, pretrain, short_run, tmp_path, image_folder):
    def poison(trainer, module, *_):
        if trainer.global_step == 8:  # of six in an epoch
            POISONS[kind](module)

    settings = short_run(
        model=Fragile("nowhere"),
        batch_size=4,
        epochs=3,
        optim="sgd",
        callbacks={"model_checkpoint": EVERY_EPOCH, "model_export": EVERY_EPOCH},
        trainer_args={
            "log_every_n_steps": 1000,
            "callbacks": [LambdaCallback(on_train_batch_start=poison)],
        },
    )
    with pytest.raises(RunError, match=r"last\.ckpt"):
        pretrain(**settings)
    files = written(tmp_path / "out")
    assert len(files) == 3
    for path in files:
        assert non_finite((path.name, tensor) for tensor in tensors_in(path)) == []
    last = torch.load(tmp_path / "out/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 6


@pytest.mark.slow
def test_a_step_may_be_left_out_as_if_it_had_not_been(
    pretrain, fragile_run, tmp_path, read_metrics
):
    seen = {}

    def remember(trainer, module, *_):
        state = {**module.state_dict(), "o": trainer.optimizers[0].state_dict()["state"]}
        seen[trainer.global_step] = copy.deepcopy(state)

    settings = fragile_run("gradient", optim="sgd")
    settings["callbacks"]["non_finite"] = {"max_skipped": 2}
    settings["trainer_args"]["callbacks"] = [LambdaCallback(on_train_batch_end=remember)]
    pretrain(**settings)
    log = (tmp_path / "out/train.log").read_text()
    assert log.count("the step was skipped") == 2
    (first, second) = sorted(
        int(path.stem.partition("=")[2]) for path in (tmp_path / "out/non_finite").iterdir()
    )
    assert first <= 6 < second
    for step in (first, second):
        before, after = seen[step - 1], seen[step]
        for name in before:
            if name != "o":
                assert torch.equal(before[name], after[name]), name
        for key, state in before["o"].items():
            assert torch.equal(state["momentum_buffer"], after["o"][key]["momentum_buffer"])


@pytest.mark.slow
def test_more_than_may_be_left_out_stop_the_run(pretrain, fragile_run):
    settings = fragile_run("gradient")
    settings["callbacks"]["non_finite"] = {"max_skipped": 1}
    with pytest.raises(RunError, match=r"gradient of step .*epoch 2.*max_skipped=2"):
        pretrain(**settings)


def test_weights_that_are_not_finite_at_the_start_are_refused(pretrain, short_run, tmp_path):
    settings = short_run()
    settings["model"].body[0].bias.data[0] = torch.nan
    with pytest.raises(RunError, match="before the first step"):
        pretrain(**settings)


@pytest.mark.slow
def test_infinities_that_a_model_has_on_purpose_are_no_fault(pretrain, short_run):
    settings = short_run()
    settings["model"].body.register_buffer("mask", torch.full((2, 2), -torch.inf))
    assert len(pretrain(**settings).exported) == 2


@pytest.mark.parametrize("kind", ["adamw", "sgd", "lars"])
def test_steps_are_without_effect_where_the_device_holds_them_back(kind):
    weight = nn.Parameter(torch.ones(3))
    makers = {
        "adamw": lambda: torch.optim.AdamW([weight], fused=True),
        "sgd": lambda: torch.optim.SGD([weight], 0.1, momentum=0.9, fused=True),
        "lars": lambda: LARS([weight], 0.1, momentum=0.0),
    }
    optimizer = makers[kind]()
    for block, gradient in ((False, 1.0), (True, torch.nan), (True, 1.0), (False, 1.0)):
        before = weight.detach().clone()
        weight.grad = torch.full((3,), gradient)
        cancel_step(optimizer, [weight], torch.tensor(block))
        optimizer.step()
        assert torch.equal(before, weight.detach()) == block
        assert weight.isfinite().all()


def in_two_processes(rank, settings):
    settings = {**settings, "devices": 2, "strategy": "ddp", "model": Fragile("loss")}
    # Lightning then starts no process, as under torchrun.
    with mock.patch.dict(os.environ, {"LOCAL_RANK": str(rank)}):
        try:
            lightly_core.pretrain(**settings)
        except RunError as error:
            return str(error)
    return None


@pytest.mark.processes
def test_what_one_process_sees_stops_both(fragile_run, tmp_path):
    errors = shared_pair().run(in_two_processes, {**fragile_run(), "model": None})
    for error in errors:
        assert re.search(rf"the loss of step \d \(epoch 1.*'{WHITE}'", error)
    (kept,) = (tmp_path / "out/non_finite").iterdir()
    again = lightly_core.replay(kept, **fragile_run(out=tmp_path / "unused"))
    assert len(again.batches[0].views[0]) == 2
    assert not again.losses[0].isfinite()
    assert written(tmp_path / "out") == []


def test_the_first_fault_of_all_is_the_one_that_is_named():
    watch = FiniteWatch(nn.Linear(1, 1), 0, rank=1, world_size=2)
    for batch, loss in enumerate((1.0, torch.nan, torch.inf)):
        watch.record_loss(torch.tensor(loss), batch)
    fault = watch.fault(watch.marks(torch.device("cpu")).tolist())
    assert (fault.kind, fault.batch, fault.rank) == ("loss", 1, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
def test_tensors_of_every_kind_are_looked_at(dtype):
    tensors = {
        "fine": torch.full((3,), 6e4, dtype=dtype),
        "large": torch.full((3,), 3e38 if dtype == torch.bfloat16 else 6e4, dtype=dtype),
        "bad": torch.tensor([0.0, torch.nan], dtype=dtype),
        "infinite": torch.tensor([-torch.inf], dtype=dtype),
        "empty": torch.empty(0, dtype=dtype),
        "whole": torch.ones(2, dtype=torch.int64),
    }
    assert non_finite(tensors.items()) == ["bad", "infinite"]


def test_tensors_that_broke_since_the_last_check_are_not_exported(tmp_path):
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.full((2, 2), -torch.inf))
    callback = FiniteCallback(CallbacksArgs(non_finite=None), RunFolder(tmp_path))
    callback.refuse_export(module)  # without a training
    callback.on_train_start(None, module)
    callback.refuse_export(module)
    module.weight.data[0, 0] = torch.nan
    with pytest.raises(RunError, match="not exported") as caught:
        callback.refuse_export(module)
    assert str(caught.value).startswith("weight hold nan")
    assert "mask" not in str(caught.value)
