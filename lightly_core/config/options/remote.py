"""Options that all loggers with a server have."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import and_, ge

from lightly_core.config.options.checks import finite


@define(frozen=True, kw_only=True)
class RemoteLoggerArgs:
    """Base class of the options of a `lightly_core.engine.remote.RemoteLogger`."""

    log_model: bool | Literal["all"] = field(
        default=False, metadata={"help": "also store the exported backbone as a model"}
    )
    prefix: str = field(default="", metadata={"help": "prefix of every metric's name"})
    log_system_metrics: bool = field(
        default=False, metadata={"help": "log the load of processors, memory, disk and network"}
    )
    finish_timeout: float = field(
        default=30.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "seconds to wait at the end of a run while the server accepts nothing"},
    )

    @log_model.validator
    def _log_model_once(self, attribute: object, value: bool | str) -> None:
        if value == "all":
            raise ValueError(
                "'log_model' cannot be 'all': a run exports the backbone at its end only, and its "
                "checkpoints hold the whole training; set it to true"
            )
