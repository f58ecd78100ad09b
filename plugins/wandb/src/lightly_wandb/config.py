"""Options of the logger, with the keys of Lightning's WandbLogger."""

from __future__ import annotations

import re
from typing import Any, Literal

from attrs import define, field
from attrs.validators import and_, ge, gt

from lightly_core.config.options.checks import finite, not_empty

_ID = re.compile(r"[\w-]+")


@define(frozen=True, kw_only=True)
class WandbArgs:
    """Metrics, settings, images and files at Weights & Biases."""

    project: str | None = field(
        default=None, metadata={"help": "project of the run; None: WANDB_PROJECT, else 'lightly'"}
    )
    name: str | None = field(
        default=None, metadata={"help": "name of the run; None: W&B chooses one"}
    )
    entity: str | None = field(
        default=None, metadata={"help": "user or team; None: that of the account"}
    )
    group: str | None = field(default=None, metadata={"help": "group of the run"})
    tags: list[str] | None = field(default=None, metadata={"help": "tags of the run"})
    notes: str | None = field(default=None, metadata={"help": "description of the run"})
    mode: Literal["online", "offline"] | None = field(
        default=None, metadata={"help": "where records go; None: WANDB_MODE, else online"}
    )
    offline: bool | None = field(
        default=None,
        metadata={"help": "true: files only, which `wandb sync` sends; the same as mode=offline"},
    )
    log_model: bool | Literal["all"] = field(
        default=False,
        metadata={"help": "store the exported files as an artifact of type 'model' with versions"},
    )
    save_dir: str | None = field(
        default=None, metadata={"help": "folder of W&B's own files; None: `loggers` in `out`"}
    )
    id: str | None = field(
        default=None, metadata={"help": "identifier of the run in its project; None: a new one"}
    )
    resume: Literal["allow", "never", "must"] | None = field(
        default=None,
        metadata={"help": "what to do if `id` exists; a resumed run continues its own anyway"},
    )
    prefix: str = field(default="", metadata={"help": "prefix of every metric's name"})
    checkpoint_name: str | None = field(
        default=None,
        metadata={"help": "name of the artifact of `log_model`; None: 'model-' and the id"},
    )
    log_system_metrics: bool = field(
        default=False, metadata={"help": "log the load of processors, memory, disk and network"}
    )
    request_timeout: float = field(
        default=20.0,
        validator=and_(finite, gt(0)),
        metadata={"help": "seconds to wait for the server when the run is created"},
    )
    finish_timeout: float = field(
        default=30.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "seconds to wait at the end of a run while the server accepts nothing"},
    )

    @project.validator
    @name.validator
    @entity.validator
    @group.validator
    @save_dir.validator
    @checkpoint_name.validator
    def _not_empty(self, attribute: Any, value: object) -> None:  # noqa: ANN401 - as attrs calls it
        not_empty(self, attribute, value)

    @id.validator
    def _id_for_addresses(self, attribute: object, value: str | None) -> None:
        if value is not None and not _ID.fullmatch(value):
            raise ValueError(f"'id' must have letters, digits, '_' and '-' only, got '{value}'")

    @log_model.validator
    def _log_model_once(self, attribute: object, value: bool | str) -> None:
        if value == "all":
            raise ValueError(
                "'log_model' cannot be 'all': a run exports the backbone at its end only, and its "
                "checkpoints hold the whole training; set it to true"
            )

    def __attrs_post_init__(self) -> None:
        """Refuse options that contradict each other."""
        both = self.mode is not None and self.offline is not None
        if both and self.offline != (self.mode == "offline"):
            raise ValueError(
                f"offline={self.offline} contradicts mode={self.mode}; give one of them"
            )
        if self.resume == "must" and self.id is None:
            raise ValueError("resume=must needs the 'id' of an existing run")
        if self.checkpoint_name is not None and not self.log_model:
            raise ValueError("'checkpoint_name' has no effect without log_model=true")

    @property
    def wanted_mode(self) -> str | None:
        """``online`` or ``offline``; None: as the environment says."""
        if self.offline is not None:
            return "offline" if self.offline else "online"
        return self.mode
