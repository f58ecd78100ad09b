import os

import pytest

from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError
from lightly_mlflow.client import quiet_variables, require_packages, resolved_uri
from lightly_mlflow.config import MlflowArgs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment_nam": "x"}, "did you mean 'experiment_name'"),
        ({"tracking_uri": "http://a", "save_dir": "b"}, "give one of them"),
        ({"run_id": "a", "artifact_location": "b"}, "give one of them"),
        ({"log_model": "all"}, "set it to true"),
        ({"log_model": "yes"}, "log_model"),
        ({"synchronous": False}, "leave it out"),
        ({"tags": {"a": [1]}}, "got list for 'a'"),
        ({"run_name": ""}, "must not be empty"),
        ({"finish_timeout": -1}, "finish_timeout"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=r"config\.loggers\.mlflow") as error:
        structure(options, MlflowArgs, path="config.loggers.mlflow")
    assert message in str(error.value)


def test_the_options_of_lightnings_logger_are_accepted():
    options = {
        "experiment_name": "digits",
        "run_name": "first",
        "tracking_uri": "http://127.0.0.1:5000",
        "tags": {"team": "vision", "try": 2},
        "log_model": True,
        "prefix": "a-",
        "run_id": "0123",
        "synchronous": True,
    }
    read = structure(options, MlflowArgs, path="mlflow")
    assert {name: getattr(read, name) for name in options} == options


def test_options_come_before_the_environment_and_that_before_a_local_database(tmp_path):
    environment = {"MLFLOW_TRACKING_URI": "http://env"}
    local = f"sqlite:///{tmp_path}/mlflow.db"
    assert resolved_uri(MlflowArgs(tracking_uri="http://a"), environment) == "http://a"
    assert resolved_uri(MlflowArgs(save_dir=str(tmp_path)), environment) == local
    assert resolved_uri(MlflowArgs(), environment) == "http://env"
    assert resolved_uri(MlflowArgs(), {}).endswith("/mlflow.db")


def test_missing_packages_are_named_with_how_to_install_them(monkeypatch):
    monkeypatch.setattr("lightly_mlflow.client._has", lambda package: False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError) as error:
        require_packages(MlflowArgs(log_model=True, log_system_metrics=True))
    assert [text.partition(":")[0] for text in error.value.problems] == [
        "a local database needs the whole of MLflow",
        "log_model needs pandas",
        "log_system_metrics needs psutil",
    ]
    require_packages(MlflowArgs(tracking_uri="http://127.0.0.1:5000"))


def test_variables_of_the_user_are_kept_and_ours_removed(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    variables = quiet_variables(5)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    variables.restore()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ
