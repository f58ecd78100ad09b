"""`exported_best` follows `callbacks.model_checkpoint.monitor`."""

import os
import signal

import pytest
import torch

from lightly_core.errors import RunInterrupted

MONITORED = {"monitor": "mine", "mode": "max", "min_seconds_between": 0}


@pytest.fixture
def best_of(pretrain, short_run, monkeypatch):
    """Run epochs in which a metric has given values; return the result and the epochs exported."""
    import lightning.pytorch as lightning

    from lightly_core.engine.run import Run

    class Mine(lightning.Callback):
        """Logs the values epoch by epoch, and remembers the weights of each."""

        def __init__(self, values):
            self.values = values
            self.weights = {}

        def on_train_epoch_end(self, trainer, module):
            value = self.values[trainer.current_epoch]
            if value is not None:
                module.log("mine", torch.tensor(value), logger=False)
            state = module.method.model.get_model().state_dict()
            self.weights[trainer.current_epoch] = {k: v.clone() for k, v in state.items()}

    real = Run._callbacks
    # As of a method that does not tell its metrics: this one could come from it.
    monkeypatch.setattr("lightly_methods.contrastive.simclr_config.SimCLRConfig.metrics", None)

    def run(values, mode="max", **changes):
        mine = Mine(values)
        # Before the callbacks that look at the metric, as the callbacks that measure stand.
        monkeypatch.setattr(Run, "_callbacks", lambda *args: [mine, *real(*args)])
        args = {"model_checkpoint": {**MONITORED, "mode": mode}}
        result = pretrain(**short_run(epochs=len(values), callbacks=args, **changes))
        exported = torch.load(result.exported_best[0], weights_only=True)
        return result, [
            epoch
            for epoch, weights in mine.weights.items()
            if all(torch.equal(exported[name], weights[name]) for name in weights)
        ]

    return run


NAN = float("nan")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ([None, NAN, 0.4, 0.4, 0.3, NAN], "max", 2),  # equal is not better
        ([NAN, None, 0.2, 0.1, 0.1, 0.3], "min", 3),
    ],
)
def test_weights_and_checkpoint_of_the_best_epoch_are_kept(best_of, values, mode, best):
    result, epochs = best_of(values, mode)
    assert epochs == [best]
    assert {path.name for path in result.exported_best} == {
        "exported_best.pt",
        "exported_best.safetensors",
    }
    assert f"Best mine ({values[best]:.4g}, epoch {best + 1})" in (
        (result.folder / "train.log").read_text()
    )
    (kept,) = (result.folder / "checkpoints").glob("epoch=*")
    assert kept.name.startswith(f"epoch={best}-")


@pytest.mark.slow
def test_without_a_monitor_there_is_no_best(finished):
    assert finished.result.exported_best == ()
    assert not list(finished.result.folder.glob("exported_models/exported_best*"))


@pytest.mark.slow
def test_a_loss_is_best_when_small(pretrain, short_run, read_metrics):
    args = {"model_checkpoint": {"monitor": "train_loss"}}
    result = pretrain(**short_run(callbacks=args, epochs=4))
    assert len(result.exported_best) == 2
    last_of_epoch = [line["train_loss"] for line in read_metrics(result.folder)][2::3]
    text = (result.folder / "train.log").read_text()
    assert f"Best train_loss ({min(last_of_epoch):.4g}" in text


@pytest.mark.slow
def test_an_epoch_without_a_new_value_is_no_new_best(pretrain, short_run):
    callbacks = {
        "model_checkpoint": {"monitor": "rank/rankme", "mode": "max"},
        "signals": {"every_n_epochs": 2},
    }
    result = pretrain(**short_run(callbacks=callbacks, epochs=4))
    text = (result.folder / "train.log").read_text()
    # The value from before training is no value of epoch 1.
    assert 1 <= text.count("Best rank/rankme so far") <= 2
    assert "epoch 1)" not in text
    assert "epoch 3)" not in text


def stop_in_epoch(epoch):
    from lightning.pytorch.callbacks import LambdaCallback

    def send(trainer, module, batch, batch_index):
        if trainer.current_epoch == epoch and batch_index == 1:
            os.kill(os.getpid(), signal.SIGINT)

    return LambdaCallback(on_train_batch_start=send)


@pytest.mark.slow
def test_a_resumed_run_remembers_the_best(best_of, short_run):
    values = [0.1, 0.4, 0.3, 0.35]
    with pytest.raises(RunInterrupted):
        best_of(values, trainer_args={"log_every_n_steps": 1, "callbacks": [stop_in_epoch(2)]})
    file = short_run()["out"] / "exported_models/exported_best.pt"
    before = file.read_bytes()
    result, epochs = best_of(values, resume_interrupted=True)
    assert file.read_bytes() == before
    assert epochs == []  # not among those trained after the resume
    assert "Best mine (0.4, epoch 2)" in (result.folder / "train.log").read_text()
    assert result.exported_best[0] == file


@pytest.mark.slow
def test_resuming_keeps_signals_and_the_newest_values(pretrain, short_run, read_lines, tmp_path):
    often = {"signals": {"every_n_epochs": 2}, "model_checkpoint": {"monitor": "rank/rankme"}}
    stop = {"log_every_n_steps": 1, "callbacks": [stop_in_epoch(3)]}
    with pytest.raises(RunInterrupted):
        pretrain(**short_run(epochs=5, callbacks=often, trainer_args=stop))
    resumed = pretrain(**short_run(epochs=5, callbacks=often, resume_interrupted=True))
    whole = pretrain(**short_run(epochs=5, callbacks=often, out=tmp_path / "whole"))
    found = [
        [line for line in read_lines(r.folder) if "rank/rankme" in line] for r in (resumed, whole)
    ]
    assert found[0] == found[1]
    assert [line["step"] for line in found[0]] == [0, 6, 12, 15]
    best = [(r.folder / "exported_models/exported_best.pt") for r in (resumed, whole)]
    tensors = [torch.load(path, weights_only=True) for path in best]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
