"""Options of the logger, with the keys of Lightning's MLFlowLogger."""

from __future__ import annotations

from typing import Any, Literal

from attrs import define, field
from attrs.validators import and_, ge, gt

from lightly_core.config.options.checks import finite, not_empty


@define(frozen=True, kw_only=True)
class MlflowArgs:
    """Metrics, settings, images and files on an MLflow server."""

    experiment_name: str | None = field(
        default=None,
        metadata={"help": "experiment of the run, created if missing; None: 'lightly'"},
    )
    run_name: str | None = field(
        default=None, metadata={"help": "name of the run; None: MLflow chooses one"}
    )
    tracking_uri: str | None = field(
        default=None,
        metadata={
            "help": "address of the server; None: MLFLOW_TRACKING_URI, else a local database"
        },
    )
    run_id: str | None = field(
        default=None, metadata={"help": "existing run to write to; None: a new one"}
    )
    tags: dict[str, Any] | None = field(default=None, metadata={"help": "tags of the run"})
    save_dir: str | None = field(
        default=None,
        metadata={"help": "folder of the local database mlflow.db; only without a server"},
    )
    log_model: bool | Literal["all"] = field(
        default=False,
        metadata={"help": "also store the exported backbone as an MLflow model"},
    )
    prefix: str = field(default="", metadata={"help": "prefix of every metric's name"})
    artifact_location: str | None = field(
        default=None, metadata={"help": "where a new experiment stores files; None: the server's"}
    )
    synchronous: bool | None = field(
        default=None,
        metadata={"help": "true or None: a thread waits for each answer, the run does not"},
    )
    log_system_metrics: bool = field(
        default=False, metadata={"help": "log the load of processors, memory, disk and network"}
    )
    request_timeout: int = field(
        default=10, validator=ge(1), metadata={"help": "seconds after which a request has failed"}
    )
    finish_timeout: float = field(
        default=30.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "seconds to wait at the end of a run while the server accepts nothing"},
    )
    system_metrics_interval: float = field(
        default=10.0,
        validator=and_(finite, gt(0)),
        metadata={"help": "seconds between two measurements of `log_system_metrics`"},
    )

    @experiment_name.validator
    @run_name.validator
    @tracking_uri.validator
    @run_id.validator
    @save_dir.validator
    @artifact_location.validator
    def _not_empty(self, attribute: Any, value: object) -> None:  # noqa: ANN401 - as attrs calls it
        not_empty(self, attribute, value)

    @tags.validator
    def _tags_of_texts(self, attribute: object, value: dict[str, Any] | None) -> None:
        for name, tag in (value or {}).items():
            if not isinstance(tag, (str, int, float, bool)):
                raise ValueError(
                    f"'tags' must hold texts and numbers, got {type(tag).__name__} for '{name}'"
                )

    @log_model.validator
    def _log_model_once(self, attribute: object, value: bool | str) -> None:
        if value == "all":
            raise ValueError(
                "'log_model' cannot be 'all': a run exports the backbone at its end only, and its "
                "checkpoints hold the whole training; set it to true"
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
