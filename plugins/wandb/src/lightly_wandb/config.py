"""Options of the logger, with the keys of Lightning's WandbLogger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import and_, gt

from lightly_core.config.options.checks import finite, not_empty
from lightly_core.config.options.foreign import ForeignKey
from lightly_core.config.options.remote import RemoteLoggerArgs

_ID = re.compile(r"[\w-]+")


@define(frozen=True, kw_only=True)
class WandbArgs(RemoteLoggerArgs):
    """Metrics, settings, images and files at Weights & Biases."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        "version": ForeignKey(
            "the identifier of a run is `id`; set loggers.wandb.id", neutral=(None,)
        ),
        "anonymous": ForeignKey(
            "runs need an account, or mode=offline; remove it", neutral=(None, False)
        ),
    }

    project: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "project of the run; None: WANDB_PROJECT, else 'lightly'"},
    )
    name: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "name of the run; None: W&B chooses one"},
    )
    entity: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "user or team; None: that of the account"},
    )
    group: str | None = field(
        default=None, validator=not_empty, metadata={"help": "group of the run"}
    )
    tags: list[str] | None = field(default=None, metadata={"help": "tags of the run"})
    notes: str | None = field(default=None, metadata={"help": "description of the run"})
    mode: Literal["online", "offline"] | None = field(
        default=None, metadata={"help": "where records go; None: WANDB_MODE, else online"}
    )
    offline: bool | None = field(
        default=None,
        metadata={"help": "true: files only, which `wandb sync` sends; the same as mode=offline"},
    )
    save_dir: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "folder of W&B's own files; None: `loggers` in `out`"},
    )
    id: str | None = field(
        default=None, metadata={"help": "identifier of the run in its project; None: a new one"}
    )
    resume: Literal["allow", "never", "must"] | None = field(
        default=None,
        metadata={"help": "what to do if `id` exists; a resumed run continues its own anyway"},
    )
    checkpoint_name: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "name of the artifact of `log_model`; None: 'model-' and the id"},
    )
    request_timeout: float = field(
        default=20.0,
        validator=and_(finite, gt(0)),
        metadata={"help": "seconds to wait for the server when the run is created"},
    )

    @id.validator
    def _id_for_addresses(self, attribute: object, value: str | None) -> None:
        if value is not None and not _ID.fullmatch(value):
            raise ValueError(f"'id' must have letters, digits, '_' and '-' only, got '{value}'")

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
