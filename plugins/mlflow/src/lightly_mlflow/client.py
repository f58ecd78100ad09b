"""Imports MLflow, quietly: without its usage statistics, progress bars and long retries."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lightly_core.engine.remote import Variables
from lightly_core.errors import ConfigError
from lightly_mlflow.config import MlflowArgs

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

#: Variables of MLflow while a run sends. Those that the user has set are kept.
_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow's makers would get usage statistics
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the thread that sends tries again itself
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def quiet_variables(request_timeout: int) -> Variables:
    """Set the variables of MLflow for a run.

    Args:
        request_timeout: Seconds after which a request has failed.
    """
    return Variables({**_VARIABLES, "MLFLOW_HTTP_REQUEST_TIMEOUT": str(request_timeout)})


def make_client(uri: str) -> MlflowClient:
    """Return a client. Call it while `quiet_variables` are set."""
    from mlflow.tracking.client import MlflowClient

    return MlflowClient(tracking_uri=uri)


def resolved_uri(config: MlflowArgs, environment: Mapping[str, str] = os.environ) -> str:
    """Return where records go: the options, then MLFLOW_TRACKING_URI, then a local database."""
    if config.tracking_uri is not None:
        return config.tracking_uri
    if config.save_dir is None and environment.get("MLFLOW_TRACKING_URI"):
        return environment["MLFLOW_TRACKING_URI"]
    folder = os.path.abspath(os.path.expanduser(config.save_dir or "."))
    return f"sqlite:///{folder}/mlflow.db"


def require_packages(config: MlflowArgs) -> None:
    """Refuse options whose packages are not installed. Imports nothing.

    Raises:
        ConfigError: A package is missing.
    """
    problems = []
    uri = resolved_uri(config)
    if (
        "://" in uri
        and not uri.startswith(("http", "databricks", "uc:"))
        and not (_has("sqlalchemy") and _has("alembic"))
    ):
        problems.append(
            "a local database needs the whole of MLflow: pip install mlflow; or set tracking_uri, "
            "or MLFLOW_TRACKING_URI, to the address of a server such as http://127.0.0.1:5000"
        )
    if config.log_model and not _has("pandas"):
        problems.append("log_model needs pandas: pip install 'lightly-mlflow[model]'")
    if config.log_system_metrics and not _has("psutil"):
        problems.append("log_system_metrics needs psutil: pip install 'lightly-mlflow[system]'")
    if problems:
        raise ConfigError.of(problems)


def _has(package: str) -> bool:
    return find_spec(package) is not None
