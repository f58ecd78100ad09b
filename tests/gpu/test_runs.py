"""Whole runs on a CUDA device: formats of numbers, resuming, workers, memory that runs out."""

import math
import os
import signal

import lightning.pytorch as lightning
import pytest
import torch

import lightly_core
from lightly_core.errors import RunError, RunInterrupted

pytestmark = pytest.mark.gpu


class Stop(lightning.Callback):
    """Sends Ctrl-C to the process itself in the fourth step."""

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def run(tmp_path):
    """Take six steps with the digits, with the settings that a test is not about."""

    def call(name="out", **changes):
        steps = {"limit_train_batches": 6, "log_every_n_steps": 1}
        settings = {
            "out": tmp_path / name,
            "data": "builtin:digits",
            "model": "timm/test_resnet",
            "method": "simclr",
            "transform_args": {"image_size": 32},
            "epochs": 1,
            "batch_size": 64,
            "num_workers": 2,
            "optim": "adamw",
            "precision": "32-true",
            "float32_matmul_precision": "highest",
            "callbacks": {"knn": None},
        }
        settings.update(changes)
        settings["trainer_args"] = {**steps, **changes.get("trainer_args", {})}
        return lightly_core.pretrain(**settings)

    return call


def test_images_from_workers_and_from_the_memory_of_the_device(run, read_losses):
    kept, read = (read_losses(run(str(kept), in_memory=kept)) for kept in (True, False))
    assert len(kept) == 6
    # Pixels are rounded a little differently.
    assert kept == pytest.approx(read, rel=1e-2)


def test_an_interrupted_run_goes_on(run, read_losses):
    with pytest.raises(RunInterrupted):
        run(trainer_args={"callbacks": [Stop()]})
    resumed = run(resume_interrupted=True)
    assert read_losses(resumed) == pytest.approx(read_losses(run("whole")), rel=1e-2)


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("optim", ["adamw", "adam", "sgd", "lars"])
def test_formats_of_numbers(run, read_losses, precision, optim):
    losses = read_losses(run(precision=precision, optim=optim))
    assert len(losses) == 6
    assert all(math.isfinite(loss) for loss in losses)


def test_clipping_with_a_scaled_loss(run, read_losses):
    settings = {"method": "distillationv1", "method_args": {"teacher": "timm/test_resnet"}}
    losses = read_losses(run(precision="16-mixed", **settings))
    assert all(math.isfinite(loss) for loss in losses)


def test_memory_that_runs_out_is_said_plainly(run):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**28) / total)
    try:
        with pytest.raises(RunError, match=r"out of device memory.*smaller batch_size"):
            run(model="torchvision/resnet50", batch_size=1024, transform_args={"image_size": 128})
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
