"""What is passed to MLflow's client, which a stand-in takes the place of."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from lightly_core.engine.remote import Config, Image, Metrics, RecordRefused
from lightly_core.testing import without_server
from lightly_mlflow import destination
from lightly_mlflow.config import MlflowArgs
from lightly_mlflow.destination import MlflowDestination
from lightly_mlflow.logger import MlflowLogger


@pytest.fixture(params=["quick", pytest.param("mlflow", marks=pytest.mark.slow)])
def entities(request, monkeypatch):
    """Classes of MLflow; those of the package itself take seconds to be imported."""
    if request.param == "quick":
        replace_mlflow(monkeypatch)


def replace_mlflow(monkeypatch):
    """Put classes with the same attributes in the place of those of MLflow."""
    made, exceptions = ModuleType("mlflow.entities"), ModuleType("mlflow.exceptions")
    made.Metric = lambda key, value, timestamp, step: SimpleNamespace(
        key=key, value=value, timestamp=timestamp, step=step
    )
    made.Param = lambda key, value: SimpleNamespace(key=key, value=value)
    exceptions.MlflowException = Refusal
    for module in (made, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Refusal(Exception):
    """An answer of a server that is no result."""

    def __init__(self, code):
        super().__init__(code)
        self.error_code = code


class Client:
    """A server with one experiment, and a run in it that was interrupted after step 10."""

    def __init__(self, uri):
        self.uri, self.rows, self.params, self.sizes = uri, [], {}, []
        self.created = None
        known = SimpleNamespace(metrics=[SimpleNamespace(key="loss", step=10)])
        self.run = SimpleNamespace(
            info=SimpleNamespace(run_id="r1", experiment_id="7", status="RUNNING"),
            data=SimpleNamespace(params={}, to_proto=lambda: known),
        )

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="7")

    def search_runs(self, experiments, filter_string, max_results):
        return [self.run] if "'our key'" in filter_string else []

    def create_run(self, experiment_id, **options):
        self.created = (experiment_id, options)
        return self.run

    def log_batch(self, run_id, metrics=(), params=()):
        self.sizes.append(len(metrics) + len(params))
        self.rows += [(run_id, m.key, m.value, m.timestamp, m.step) for m in metrics]
        self.params |= {param.key: param.value for param in params}

    def log_artifact(self, run_id, file, inside):
        pass


@pytest.fixture
def clients(monkeypatch):
    """The addresses of the servers that clients were made for."""
    found = []
    monkeypatch.setattr(destination, "make_client", lambda uri: found.append(uri) or Client(uri))
    return found


def opened(folder, key="our key", **options):
    made = MlflowDestination(MlflowArgs(tracking_uri="http://host:5000", **options), folder)
    made.open({"key": key, "started": "1700"})
    return made


def test_steps_that_the_server_has_are_left_out(tmp_path, clients, entities):
    made = MlflowDestination(MlflowArgs(tracking_uri="http://host:5000"), tmp_path)
    assert made.open({"key": "our key"}) == {
        "run_id": "r1",
        "address": "http://host:5000/#/experiments/7/runs/r1",
    }
    made.send_metrics([Metrics(step=k, values={"loss": 0.5}, time=1_500) for k in (0, 10, 20)])
    made.send_metrics([Metrics(step=0, values={"new": 0.25}, time=1_600)])
    assert made.client.rows == [("r1", "loss", 0.5, 1_500, 20), ("r1", "new", 0.25, 1_600, 0)]
    assert clients == ["http://host:5000"]  # one client for all calls


def test_a_run_that_the_server_does_not_have_is_created_with_its_tags(tmp_path, clients):
    tags = {"team@home": "x" * 9000, "try": 2}
    made = opened(tmp_path, key="another key", tags=tags, run_name="first")
    assert made.client.created == (
        "7",
        {
            "start_time": 1700,
            "run_name": "first",
            "tags": {"team_home": "x" * 8000, "try": "2", "lightly.key": "another key"},
        },
    )
    assert opened(tmp_path).client.created is None


def test_a_request_has_at_most_1000_metrics_or_100_parameters(tmp_path, clients, entities):
    made = opened(tmp_path)
    made.send_metrics([Metrics(step=k, values={"a": 0.5, "b": 1.5}, time=1) for k in range(1001)])
    assert made.client.sizes == [1000, 1000, 2]
    made.client.sizes.clear()
    made._known_params = frozenset({"p3"})
    made.send_config(Config(values={f"p{k}": k for k in range(202)}, time=1))
    assert made.client.sizes == [100, 100, 1]
    assert made.client.params == {f"p{k}": str(k) for k in range(202) if k != 3}


@pytest.mark.parametrize(
    ("code", "kind"), [("INVALID_PARAMETER_VALUE", RecordRefused), ("INTERNAL_ERROR", Refusal)]
)
def test_only_a_wrong_request_is_a_record_that_is_refused(
    tmp_path, clients, monkeypatch, code, kind
):
    replace_mlflow(monkeypatch)
    made = opened(tmp_path)

    def refuse(*arguments):
        raise Refusal(code)

    made.client.log_artifact = refuse
    with pytest.raises(kind, match=code):
        made.send_image(Image(name="a", png=b"", step=3, time=1))


def test_the_end_stops_the_measuring_and_is_recorded(tmp_path):
    logger = without_server(MlflowLogger)(MlflowArgs(), tmp_path, None)
    stopped = []
    logger._monitor = SimpleNamespace(stop=lambda: stopped.append(True))
    appended = []
    logger.put = appended.append
    logger.finish("interrupted")
    assert stopped == [True]
    assert [record.status for record in appended] == ["interrupted"]
