"""Runs that end before their last step say why."""

import lightning.pytorch as lightning


def test_early_stopping_with_a_patience(pretrain, short_run, read_metrics, capsys):
    stopping = {"early_stopping": {"patience": 1, "min_delta": 100.0}}
    result = pretrain(**short_run(callbacks=stopping, epochs=6))
    step = read_metrics(result.folder)[-1]["step"]
    assert step < 18
    assert result.stopped == (
        f"Stopped after step {step} of 18, in epoch {step // 3}: train_loss was no better for 1 "
        "epoch (callbacks.early_stopping)."
    )
    assert result.stopped in capsys.readouterr().out
    assert result.stopped in (result.folder / "train.log").read_text()


def test_a_run_whose_time_is_over_says_so(pretrain, short_run):
    limit = {"max_time": {"microseconds": 1}}
    result = pretrain(**short_run(trainer_args=limit, epochs=6))
    assert result.stopped.endswith(": its time is over (trainer_args.max_time).")


def test_a_users_callback_that_stops_a_run_is_reported(pretrain, short_run):
    class Stopper(lightning.Callback):
        def on_train_epoch_end(self, trainer, module):
            trainer.should_stop = True

    result = pretrain(**short_run(trainer_args={"callbacks": [Stopper()]}, epochs=6))
    assert result.stopped.endswith(": a callback stopped it.")


def test_a_run_that_takes_all_steps_is_not_called_stopped(finished):
    assert finished.result.stopped is None
