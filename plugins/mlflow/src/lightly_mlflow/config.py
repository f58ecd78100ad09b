"""Options of the logger, with the keys of Lightning's MLFlowLogger."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from attrs.validators import and_, ge, gt

from lightly_core.config.options.checks import finite, not_empty
from lightly_core.config.options.remote import RemoteLoggerArgs


@define(frozen=True, kw_only=True)
class MlflowArgs(RemoteLoggerArgs):
    """Metrics, settings, images and files on an MLflow server."""

    experiment_name: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "experiment of the run, created if missing; None: 'lightly'"},
    )
    run_name: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "name of the run; None: MLflow chooses one"},
    )
    tracking_uri: str | None = field(
        default=None,
        validator=not_empty,
        metadata={
            "help": "address of the server; None: MLFLOW_TRACKING_URI, else a local database"
        },
    )
    run_id: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "existing run to write to; None: a new one"},
    )
    tags: dict[str, Any] | None = field(default=None, metadata={"help": "tags of the run"})
    save_dir: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "folder of the local database mlflow.db; only without a server"},
    )
    artifact_location: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "where a new experiment stores files; None: the server's"},
    )
    synchronous: bool | None = field(
        default=None,
        metadata={"help": "true or None: a thread waits for each answer, the run does not"},
    )
    request_timeout: int = field(
        default=10, validator=ge(1), metadata={"help": "seconds after which a request has failed"}
    )
    system_metrics_interval: float = field(
        default=10.0,
        validator=and_(finite, gt(0)),
        metadata={"help": "seconds between two measurements of `log_system_metrics`"},
    )

    @tags.validator
    def _tags_of_texts(self, attribute: object, value: dict[str, Any] | None) -> None:
        for name, tag in (value or {}).items():
            if not isinstance(tag, (str, int, float, bool)):
                raise ValueError(
                    f"'tags' must hold texts and numbers, got {type(tag).__name__} for '{name}'"
                )

    @synchronous.validator
    def _keeps_count(self, attribute: object, value: bool | None) -> None:
        if value is False:
            raise ValueError(
                "'synchronous' cannot be false: MLflow's own queue drops what it cannot send; "
                "leave it out, the run never waits for the server"
            )

    def __attrs_post_init__(self) -> None:
        """Refuse options of which one would be ignored."""
        if self.tracking_uri is not None and self.save_dir is not None:
            raise ValueError(
                "'save_dir' is for a local database, but 'tracking_uri' names a server; give one "
                "of them"
            )
        if self.run_id is not None and self.artifact_location is not None:
            raise ValueError(
                "'artifact_location' is for a new experiment, but 'run_id' names an existing run; "
                "give one of them"
            )
