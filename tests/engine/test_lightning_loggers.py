"""Loggers of Lightning that the user gives in `trainer_args` get all that ours get."""

import csv

import lightning.pytorch as lightning
import pytest
from lightning.pytorch.loggers import CSVLogger, Logger

from lightly_core.engine.loggers.bridge import LightningBridge
from lightly_core.errors import RunError


class Recorder(Logger):
    """Writes down every call."""

    def __init__(self):
        super().__init__()
        self.metrics, self.config, self.pictures, self.files, self.ends = [], [], [], [], []

    @property
    def name(self):
        return "recorder"

    @property
    def version(self):
        return "0"

    def log_metrics(self, metrics, step=None):
        self.metrics.append((step, dict(metrics)))

    def log_hyperparams(self, params, *args, **kwargs):
        self.config.append(params)

    def log_image(self, key, images, step=None):
        self.pictures.append((key, images[0].shape, step))

    def log_artifact(self, path):
        self.files.append(path)

    def finalize(self, status):
        self.ends.append(status)


class Own(lightning.Callback):
    """Logs a metric as users' callbacks do."""

    def on_train_epoch_end(self, trainer, module):
        module.log("own", 3.0)


@pytest.mark.slow
def test_every_logger_gets_metrics_configuration_pictures_and_files(
    pretrain, short_run, read_lines, tmp_path
):
    recorder, table = Recorder(), CSVLogger(tmp_path / "csv", name="", version="")
    args = {"logger": [recorder, table], "callbacks": [Own()], "log_every_n_steps": 1}
    result = pretrain(**short_run(trainer_args=args))
    lines = read_lines(result.folder)
    wanted = [{k: v for k, v in line.items() if k != "step"} for line in lines]
    own = [(step, metrics) for step, metrics in recorder.metrics if "own" in metrics]
    ours = [metrics for _, metrics in recorder.metrics if "own" not in metrics]
    assert ours == [metrics for metrics in wanted if "own" not in metrics]
    assert len(own) == 2  # once an epoch, not twice
    assert [metrics["own"] for metrics in wanted if "own" in metrics] == [3.0, 3.0]
    (config,) = [config for config in recorder.config if config]
    assert config["epochs"] == 2
    assert recorder.pictures[0][0] == "augmentations"
    report = result.folder / "report.html"
    assert [str(path) for path in (*result.exported, report)] == recorder.files
    assert set(recorder.ends) == {"success"}
    with (tmp_path / "csv/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train_loss"]]
    assert len(rows) == 6


@pytest.mark.slow
def test_the_users_logger_is_that_of_the_trainer(pretrain, short_run):
    seen = []

    class Look(lightning.Callback):
        def on_train_start(self, trainer, module):
            seen.append(trainer.logger)

    recorder = Recorder()
    pretrain(**short_run(epochs=1, trainer_args={"logger": recorder, "callbacks": [Look()]}))
    assert seen == [recorder]


def test_a_logger_hears_that_a_run_failed(pretrain, short_run):
    recorder = Recorder()

    class Fail(lightning.Callback):
        def on_train_batch_end(self, *args):
            raise RunError("no more")

    with pytest.raises(RunError):
        pretrain(**short_run(trainer_args={"logger": recorder, "callbacks": [Fail()]}))
    assert set(recorder.ends) == {"failed"}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["log_metrics", "save", "finalize", "log_hyperparams"])
def test_a_logger_that_fails_stops_no_run(pretrain, short_run, method):
    def fail(*args, **kwargs):
        raise ConnectionError("no server")

    Broken = type("Broken", (Recorder,), {method: fail})
    recorder = Broken()
    result = pretrain(**short_run(epochs=1, trainer_args={"logger": recorder}))
    assert result.exported
    text = (result.folder / "train.log").read_text()
    assert "ConnectionError: no server" in text
    assert method not in vars(recorder)


def test_a_logger_without_training_is_closed(pretrain, short_run):
    recorder = Recorder()
    pretrain(**short_run(epochs=0, trainer_args={"logger": recorder}))
    assert recorder.ends == ["success"]
    assert len(recorder.files) == 3


class Client:
    """What MLflow's and Comet's loggers have as `experiment`."""

    def __init__(self, method):
        self.calls = []
        setattr(self, method, lambda *words: self.calls.append(words))


@pytest.mark.parametrize(
    ("method", "run_id", "call"),
    [
        ("log_artifact", "r1", ("r1", "a.pt")),
        ("log_artifact", None, ("a.pt",)),
        ("log_asset", "r1", ("a.pt",)),
    ],
)
def test_files_go_to_the_client_of_a_library(method, run_id, call):
    class Plain(Recorder):
        log_artifact = None

    logger = Plain()
    logger.experiment, logger.run_id = Client(method), run_id
    LightningBridge(logger).log_artifact("a.pt")
    assert logger.experiment.calls == [call]
