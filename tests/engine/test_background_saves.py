"""Training goes on while a checkpoint is written, and nothing that was promised is lost."""

import errno
import threading

import lightning.pytorch as lightning
import pytest
import torch
from run_states import differing, state_of

from lightly_core.checksum import damage_of
from lightly_core.engine import checkpoint_io
from lightly_core.engine.callbacks.checkpoint import CheckpointCallback
from lightly_core.engine.checkpoint_io import read_checkpoint
from lightly_core.errors import RunError

EACH_EPOCH = {"min_seconds_between": 0, "save_top_k": -1}


@pytest.fixture
def run(pretrain, short_run):
    """Run epochs of three steps that save at their ends; `steps` are noted before each batch."""

    class Steps(lightning.Callback):
        def __init__(self, before_step):
            self.numbers, self.before_step = [], before_step

        def on_train_batch_start(self, trainer, module, batch, index):
            self.numbers.append(trainer.global_step)
            self.before_step(trainer)

    def start(*, before_step=lambda trainer: None, epochs=3, **args):
        steps = start.steps = Steps(before_step)
        callbacks = {"model_checkpoint": {**EACH_EPOCH, **args}}
        trainer_args = {"log_every_n_steps": 1, "callbacks": [steps]}
        return pretrain(**short_run(epochs=epochs, callbacks=callbacks, trainer_args=trainer_args))

    return start


@pytest.fixture
def slow_disk(monkeypatch):
    """Let each file wait for `slow_disk.gate`, and note the numbers of files begun and written."""

    class Disk:
        def __init__(self):
            self.gate = threading.Event()
            self.events = []
            self.error = None

    disk = Disk()
    real = checkpoint_io.save_torch

    def save(content, path):
        disk.events.append("begun")
        if threading.current_thread() is not threading.main_thread():
            assert disk.gate.wait(10), "nothing went on meanwhile"
        if disk.error is not None:
            raise disk.error
        real(content, path)
        disk.events.append("written")

    monkeypatch.setattr(checkpoint_io, "save_torch", save)
    yield disk
    disk.gate.set()


@pytest.mark.slow
def test_training_goes_on_while_a_file_is_written(run, slow_disk, tmp_path):
    seen = []

    def before_step(trainer):
        if trainer.global_step == 5:  # two steps after the first save
            seen.extend(slow_disk.events)
            slow_disk.gate.set()

    run(before_step=before_step)
    assert seen == ["begun"]
    names = sorted(path.name for path in (tmp_path / "out/checkpoints").iterdir())
    assert names == [f"epoch={n}-step={3 * n + 3}.ckpt" for n in range(3)] + ["last.ckpt"]


@pytest.mark.slow
def test_files_hold_the_state_of_their_own_step(run, slow_disk, tmp_path):
    weights = {}

    def before_step(trainer):
        if trainer.global_step == 5:
            slow_disk.gate.set()
        state = trainer.lightning_module.state_dict()
        weights[trainer.global_step] = {name: value.clone() for name, value in state.items()}

    run(before_step=before_step)
    saved = read_checkpoint(tmp_path / "out/checkpoints/epoch=0-step=3.ckpt")
    assert saved["global_step"] == 3
    assert all(torch.equal(saved["state_dict"][name], weights[3][name]) for name in weights[3])


@pytest.mark.slow
def test_no_two_files_are_written_at_the_same_time(run, slow_disk):
    slow_disk.gate.set()
    run(epochs=4)
    assert slow_disk.events == ["begun", "written"] * 4


@pytest.mark.slow
def test_files_are_the_same_without_the_thread(run, tmp_path):
    run()
    background = state_of(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "background")
    threads = []

    def before_step(trainer):
        threads.extend(thread.name for thread in threading.enumerate())

    run(in_background=False, before_step=before_step)
    assert not any("lightly-checkpoints" in name for name in threads)
    assert differing(background, state_of(tmp_path / "out")) == []


@pytest.mark.slow
def test_a_full_disk_ends_the_run_at_the_next_step_with_earlier_files_intact(
    run, slow_disk, tmp_path
):
    slow_disk.gate.set()

    def before_step(trainer):
        if trainer.global_step == 3:
            trainer.strategy.checkpoint_io.wait()  # the first file is there
            slow_disk.error = OSError(errno.ENOSPC, "No space left on device", "last.ckpt")
        if trainer.global_step == 6:  # the second one has failed
            pending = trainer.strategy.checkpoint_io._background._pending
            assert pending[0].exception(10) is slow_disk.error

    with pytest.raises(RunError, match=r"the disk is full(.|\n)*is kept: resume_interrupted"):
        run(before_step=before_step)
    assert run.steps.numbers[-1] == 6
    files = sorted((tmp_path / "out/checkpoints").iterdir())
    assert [path.name for path in files] == ["epoch=0-step=3.ckpt", "last.ckpt"]
    assert [damage_of(path) for path in files] == [None, None]
    assert read_checkpoint(files[1])["global_step"] == 3


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_is_an_error_too(run, slow_disk, monkeypatch):
    # As if training had ended before the thread has failed: the last save is left out.
    slow_disk.error = OSError(errno.ENOSPC, "No space left on device", "last.ckpt")
    real = CheckpointCallback._save_epoch

    def save_epoch(self, trainer):
        if trainer.current_epoch == 0:
            real(self, trainer)

    monkeypatch.setattr(CheckpointCallback, "_save_epoch", save_epoch)
    monkeypatch.setattr(checkpoint_io.AtomicCheckpointIO, "raise_failure", lambda self: None)
    slow_disk.gate.set()
    with pytest.raises(RunError, match="the disk is full"):
        run()


@pytest.mark.slow
def test_an_error_of_the_run_lets_the_file_be_completed(run, slow_disk, tmp_path):
    def before_step(trainer):
        if trainer.global_step == 4:
            assert slow_disk.events == ["begun"]
            threading.Timer(0.2, slow_disk.gate.set).start()
            raise KeyError("a mistake")

    with pytest.raises(KeyError):
        run(before_step=before_step)
    files = sorted((tmp_path / "out/checkpoints").iterdir())
    assert [path.name for path in files] == ["epoch=0-step=3.ckpt", "last.ckpt"]
    assert [damage_of(path) for path in files] == [None, None]


@pytest.mark.slow
def test_an_error_of_the_run_is_raised_and_not_that_of_the_file(run, slow_disk, tmp_path):
    slow_disk.error = OSError(errno.ENOSPC, "No space left on device", "last.ckpt")

    def before_step(trainer):
        if trainer.global_step == 4:
            threading.Timer(0.2, slow_disk.gate.set).start()
            raise KeyError("a mistake")

    with pytest.raises(KeyError, match="a mistake"):
        run(before_step=before_step)
    log = (tmp_path / "out/train.log").read_text()
    assert "A checkpoint was not written: 'last.ckpt': the disk is full" in log


@pytest.mark.slow
def test_what_a_users_callback_saves_is_there_at_once(run, slow_disk, tmp_path):
    mine = tmp_path / "mine.ckpt"
    found = []

    def before_step(trainer):
        if trainer.global_step == 4:
            slow_disk.gate.set()
            trainer.save_checkpoint(mine)
            found.append(damage_of(mine))

    run(before_step=before_step)
    assert found == [None]
