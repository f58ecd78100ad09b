"""Sends records to an MLflow server by MLflow's own client."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_core.config.auto.secrets import without_secrets
from lightly_core.engine.remote import (
    Artifact,
    Config,
    Destination,
    Image,
    Metrics,
    Model,
    RecordRefused,
)
from lightly_core.errors import RunError
from lightly_mlflow.client import make_client, quiet_variables, resolved_uri
from lightly_mlflow.config import MlflowArgs
from lightly_mlflow.names import LONGEST_TAG, MetricNames, flat_params, legal_name

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking.client import MlflowClient

#: Experiment of runs that name none.
DEFAULT_EXPERIMENT = "lightly"
#: Tag by which a run is found again whose creation was not answered.
KEY_TAG = "lightly.key"
#: Status on the server by that of our run.
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
#: Name of the MLflow model of ``log_model``.
MODEL_NAME = "model"

#: Codes of answers that mean that the request itself is wrong.
_REFUSED = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST"})
#: Most metrics and parameters of one request.
_MOST_METRICS, _MOST_PARAMS = 1000, 100


class MlflowDestination(Destination):
    """One run on an MLflow server.

    Args:
        config: Options of the logger.
        folder: The run folder.
    """

    def __init__(self, config: MlflowArgs, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._names = MetricNames(config.prefix)
        self._uri = resolved_uri(config)
        self._variables = quiet_variables(config.request_timeout)
        self._client: MlflowClient | None = None
        self._run_id = self._experiment_id = ""
        self._known_steps: dict[str, int] = {}
        self._known_params: frozenset[str] = frozenset()
        self.address = str(without_secrets(self._uri))

    @property
    def client(self) -> MlflowClient:
        """The client, created when first used."""
        if self._client is None:
            self._client = make_client(self._uri)
        return self._client

    def open(self, identity: Mapping[str, str]) -> Mapping[str, str]:
        """Find the run, or create it."""
        run = self._find(identity) or self._create(identity)
        self._run_id, self._experiment_id = run.info.run_id, run.info.experiment_id
        # What was sent before an interruption, or before an answer was lost, is not sent again.
        self._known_steps = {metric.key: metric.step for metric in run.data.to_proto().metrics}
        self._known_params = frozenset(run.data.params)
        if run.info.status != "RUNNING":
            self.client.update_run(self._run_id, status="RUNNING")
        place = f"/#/experiments/{self._experiment_id}/runs/{self._run_id}"
        address = str(without_secrets(self._uri)).rstrip("/")
        self.address = address + place if address.startswith("http") else address
        return {"run_id": self._run_id, "address": self.address}

    def _find(self, identity: Mapping[str, str]) -> Run | None:
        run_id = self._config.run_id or identity.get("run_id")
        if run_id is not None:
            run = self.client.get_run(run_id)
            self._require_experiment(run)
            return run
        experiment = self.client.get_experiment_by_name(self._experiment_name)
        if experiment is None:
            return None
        found = self.client.search_runs(
            [experiment.experiment_id],
            filter_string=f"tags.`{KEY_TAG}` = '{identity['key']}'",
            max_results=1,
        )
        return found[0] if found else None

    def _require_experiment(self, run: Run) -> None:
        name = self._config.experiment_name
        if name is None:
            return
        experiment = self.client.get_experiment(run.info.experiment_id)
        if experiment.name != name:
            raise RunError(
                f"the run '{run.info.run_id}' belongs to the experiment '{experiment.name}', not "
                f"to '{name}'; correct run_id or experiment_name"
            )

    @property
    def _experiment_name(self) -> str:
        return self._config.experiment_name or DEFAULT_EXPERIMENT

    def _create(self, identity: Mapping[str, str]) -> Run:
        experiment = self.client.get_experiment_by_name(self._experiment_name)
        if experiment is None:
            experiment_id = self.client.create_experiment(
                self._experiment_name, artifact_location=self._config.artifact_location
            )
        else:
            experiment_id = experiment.experiment_id
        tags = {
            legal_name(name): str(value)[:LONGEST_TAG]
            for name, value in (self._config.tags or {}).items()
        }
        return self.client.create_run(
            experiment_id,
            start_time=int(identity["started"]) if "started" in identity else None,
            run_name=self._config.run_name,
            tags={**tags, KEY_TAG: identity["key"]},
        )

    # ------------------------------------------------------------------ records

    def send_metrics(self, rows: Sequence[Metrics]) -> None:
        """Record scalars. Steps that the server had when the run was opened are left out."""
        from mlflow.entities import Metric

        metrics = []
        for row in rows:
            for ours, value in row.values.items():
                name = self._names(ours) if row.is_repeated else ours
                if row.step > self._known_steps.get(name, -1):
                    metrics.append(Metric(name, value, row.time, row.step))
        for start in range(0, len(metrics), _MOST_METRICS):
            with _refusals():
                self.client.log_batch(self._run_id, metrics[start : start + _MOST_METRICS])

    def send_config(self, config: Config) -> None:
        """Record the settings as parameters, and as a file with whole values.

        Parameters of MLflow cannot be changed. A resumed run adds those that are new.
        """
        from mlflow.entities import Param

        params = [
            Param(name, value)
            for name, value in flat_params(config.values).items()
            if name not in self._known_params
        ]
        for start in range(0, len(params), _MOST_PARAMS):
            with _refusals():
                self.client.log_batch(self._run_id, params=params[start : start + _MOST_PARAMS])
        text = json.dumps(dict(config.values), indent=2) + "\n"
        self._send_bytes(text.encode(), "config.json")

    def send_image(self, image: Image) -> None:
        """Record an image as a file below ``images``."""
        name = legal_name(image.name)
        self._send_bytes(image.png, f"images/{name}_step_{image.step}.png")

    def _send_bytes(self, content: bytes, name: str) -> None:
        place = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / place.name
            file.write_bytes(content)
            self._send_file(file, place.parent)

    def _send_file(self, file: Path, parent: Path) -> None:
        inside = None if parent == Path() else parent.as_posix()
        with _refusals():
            self.client.log_artifact(self._run_id, str(file), inside)

    def send_artifact(self, artifact: Artifact) -> None:
        """Record a file under its path below the run folder."""
        path, parent = artifact.path, Path()
        if path.is_relative_to(self._folder):
            parent = path.relative_to(self._folder).parent
        self._send_file(path, parent)

    def send_model(self, model: Model) -> None:
        """Store the saved folder as the MLflow model of the run."""
        with _refusals():
            found = self.client.search_logged_models(
                [self._experiment_id], filter_string=f"source_run_id = '{self._run_id}'"
            )
            logged = next((entry for entry in found if entry.name == MODEL_NAME), None)
            if logged is None:
                logged = self.client.create_logged_model(
                    self._experiment_id, name=MODEL_NAME, source_run_id=self._run_id
                )
            self.client.log_model_artifacts(logged.model_id, str(model.path))
            self.client.finalize_logged_model(logged.model_id, "READY")
        shutil.rmtree(model.path, ignore_errors=True)

    def finish(self, status: str, time: int) -> None:
        """Set the status of the run."""
        self.client.set_terminated(self._run_id, STATUS[status], end_time=time)

    def close(self) -> None:
        """Restore the environment variables."""
        self._variables.restore()


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn answers that a request is wrong into `RecordRefused`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in _REFUSED:
            raise RecordRefused(str(error)) from error
        raise
