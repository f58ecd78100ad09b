"""A start that fails leaves no folder that would stop the next try."""

import lightning.pytorch as lightning
import pytest

from lightly_core.engine.folder import RunFolder
from lightly_core.engine.start import removed_if_untrained
from lightly_core.errors import ConfigError, RunError


class FailAt(lightning.Callback):
    """Raises before the step of a number."""

    def __init__(self, step, error=None):
        self.step, self.error = step, error or RuntimeError("out of something")

    def on_before_optimizer_step(self, trainer, *args):
        if trainer.global_step == self.step:
            raise self.error


@pytest.mark.slow
@pytest.mark.parametrize("error", [RuntimeError("x"), RunError("x"), KeyboardInterrupt()])
def test_the_second_try_works_where_the_first_failed_before_a_step(
    pretrain, short_run, tmp_path, error
):
    settings = short_run(
        out=tmp_path / "new/deep/out", loggers={"tensorboard": {"sub_dir": "board"}}, epochs=1
    )
    failing = {"log_every_n_steps": 1, "callbacks": [FailAt(0, error)]}
    with pytest.raises((type(error), SystemExit)):
        pretrain(**{**settings, "trainer_args": failing})
    assert not (tmp_path / "new").exists()
    assert pretrain(**settings).exported


@pytest.mark.slow
def test_what_was_trained_is_kept(pretrain, short_run, tmp_path):
    with pytest.raises(RuntimeError):
        pretrain(**short_run(trainer_args={"log_every_n_steps": 1, "callbacks": [FailAt(2)]}))
    assert '"train_loss"' in (tmp_path / "out/metrics.jsonl").read_text()


def test_a_folder_that_was_there_before_is_kept(pretrain, short_run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    failing = {"callbacks": [FailAt(0)]}
    with pytest.raises(RuntimeError):
        pretrain(**short_run(overwrite=True, trainer_args=failing))
    assert (tmp_path / "out/train.log").is_file()


def failing_start(folder, *names):
    """Make the folder and files in it, then fail."""
    with removed_if_untrained(folder), folder.opened(overwrite=False, resume=False):
        for name in names:
            (folder.root / name).touch()
        raise RuntimeError


@pytest.mark.parametrize("name", ["notes.txt", "checkpoints/last.ckpt", "bad_batch.pt"])
def test_a_folder_with_any_other_file_is_kept_as_it_is(tmp_path, name):
    folder = RunFolder(tmp_path / "out")
    with pytest.raises(RuntimeError):
        failing_start(folder, name, "train.log")
    assert folder.log.is_file()
    assert (folder.root / name).is_file()


@pytest.mark.slow
def test_the_folder_of_another_run_is_left_alone(tmp_path):
    # Both see no folder; the other run makes it first.
    late, first = RunFolder(tmp_path / "out"), RunFolder(tmp_path / "out")
    with first.opened(overwrite=False, resume=False):
        with pytest.raises(ConfigError, match="in use"):
            failing_start(late)
        assert first.checkpoints.is_dir()
        late.created = (late.root,)
        with pytest.raises(ConfigError):
            failing_start(late)
        assert first.checkpoints.is_dir()
