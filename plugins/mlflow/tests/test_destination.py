"""What is passed to MLflow's client, which a stand-in takes the place of."""

from types import SimpleNamespace

import pytest

from lightly_core.engine.remote import Metrics
from lightly_core.testing import without_server
from lightly_mlflow import destination
from lightly_mlflow.config import MlflowArgs
from lightly_mlflow.destination import MlflowDestination
from lightly_mlflow.logger import MlflowLogger


class Client:
    """A server with one experiment, and a run in it that was interrupted after step 10."""

    def __init__(self, uri):
        self.uri, self.rows = uri, []
        known = SimpleNamespace(metrics=[SimpleNamespace(key="loss", step=10)])
        self.run = SimpleNamespace(
            info=SimpleNamespace(run_id="r1", experiment_id="7", status="RUNNING"),
            data=SimpleNamespace(params={}, to_proto=lambda: known),
        )

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="7")

    def search_runs(self, experiments, filter_string, max_results):
        return [self.run] if "'our key'" in filter_string else []

    def log_batch(self, run_id, metrics):
        self.rows += [(run_id, m.key, m.value, m.timestamp, m.step) for m in metrics]


@pytest.mark.slow
def test_steps_that_the_server_has_are_left_out(tmp_path, monkeypatch):
    clients = []
    monkeypatch.setattr(destination, "make_client", lambda uri: clients.append(uri) or Client(uri))
    made = MlflowDestination(MlflowArgs(tracking_uri="http://host:5000"), tmp_path)
    assert made.open({"key": "our key"}) == {
        "run_id": "r1",
        "address": "http://host:5000/#/experiments/7/runs/r1",
    }
    made.send_metrics([Metrics(step=k, values={"loss": 0.5}, time=1_500) for k in (0, 10, 20)])
    made.send_metrics([Metrics(step=0, values={"new": 0.25}, time=1_600)])
    assert made.client.rows == [("r1", "loss", 0.5, 1_500, 20), ("r1", "new", 0.25, 1_600, 0)]
    assert clients == ["http://host:5000"]  # one client for all calls


def test_the_end_stops_the_measuring_and_is_recorded(tmp_path):
    logger = without_server(MlflowLogger)(MlflowArgs(), tmp_path, None)
    stopped = []
    logger._monitor = SimpleNamespace(stop=lambda: stopped.append(True))
    appended = []
    logger.put = appended.append
    logger.finish("interrupted")
    assert stopped == [True]
    assert [record.status for record in appended] == ["interrupted"]
