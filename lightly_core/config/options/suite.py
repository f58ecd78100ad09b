"""Settings of `lightly benchmark`."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from attrs import Attribute, define, field
from attrs.validators import optional

from lightly_core.config.options.checks import not_empty, probability
from lightly_core.config.options.sweep import SweepArgs

#: Launcher of a suite that names none.
DEFAULT_LAUNCHER = "local"

_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def _is_folder_name(instance: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None and not _FOLDER_NAME.fullmatch(value):
        raise ValueError(
            f"'{attribute.name}' must be a folder's name of letters, digits, '.', '_', '+', '-', "
            f"got '{value}'"
        )


@define(frozen=True, kw_only=True)
class SuiteData:
    """The images of all rows."""

    train: str | list[str] = field(
        validator=not_empty, metadata={"help": "images to pretrain on, as `data` of `lightly run`"}
    )
    val: str | list[str] | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={
            "help": "labelled images to classify, never trained on; None: evaluation classifies a "
            "fifth of `train` with the rest"
        },
    )


@define(frozen=True, kw_only=True)
class Published:
    """Published accuracies of a row, each a fraction in [0, 1]."""

    knn_top1: float | None = field(
        default=None, validator=probability, metadata={"help": "kNN top-1"}
    )
    linear_top1: float | None = field(
        default=None, validator=probability, metadata={"help": "linear classifier, top-1"}
    )
    linear_top5: float | None = field(
        default=None, validator=probability, metadata={"help": "linear classifier, top-5"}
    )
    finetune_top1: float | None = field(
        default=None, validator=probability, metadata={"help": "fine-tuned, top-1"}
    )
    finetune_top5: float | None = field(
        default=None, validator=probability, metadata={"help": "fine-tuned, top-5"}
    )

    @classmethod
    def read(cls, value: float | Published | None) -> Published | None:
        """Return the accuracies of a setting. A single number is the kNN top-1."""
        return cls(knn_top1=value) if isinstance(value, (int, float)) else value


@define(frozen=True, kw_only=True)
class RowConfig:
    """One row of a suite: these keys, and any key of `lightly run`."""

    method: str = field(validator=not_empty, metadata={"help": "pretraining method"})
    name: str | None = field(
        default=None,
        validator=_is_folder_name,
        metadata={"help": "folder of the row below `out`; None: from the method and the sizes"},
    )
    label: str | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={"help": "name in the table's column Model; None: the method"},
    )
    reference: float | Published | None = field(
        default=None,
        metadata={"help": "published accuracy: kNN top-1 in [0, 1], or a table of several"},
    )
    evaluate: dict[str, Any] | Literal[False] | None = field(
        default=None,
        metadata={"help": "overrides [evaluate] for this row; false: only pretrain"},
    )
    sizes: list[dict[str, Any]] | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={
            "help": "one row for each: keys that override those of this row, for example "
            "{batch_size = 512, epochs = 200, reference = 0.84}"
        },
    )
    sweep: SweepArgs | None = field(
        default=None, metadata={"help": "search over settings of this row, one run for each trial"}
    )

    @reference.validator
    def _reference_is_a_fraction(self, attribute: object, value: object) -> None:
        if isinstance(value, float) and not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(
                f"'reference' must be a fraction in [0, 1], got {value}; write 84.7 % as 0.847"
            )


@define(frozen=True, kw_only=True)
class SuiteConfig:
    """All settings of `lightly benchmark`."""

    name: str = field(validator=_is_folder_name, metadata={"help": "name of the suite"})
    data: SuiteData = field(metadata={"help": "images of all rows"})
    out: str | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={"help": "folder for rows, tables and plot; None: out/ and the suite's name"},
    )
    run: dict[str, Any] = field(
        factory=dict, metadata={"help": "settings of `lightly run` for all rows"}
    )
    evaluate: dict[str, Any] | bool = field(
        default=True,
        metadata={"help": "settings of `lightly evaluate` for all rows; false: only pretrain"},
    )
    rows: list[dict[str, Any]] = field(
        factory=list, metadata={"help": "rows, each with a method and any key of `lightly run`"}
    )
    methods: Literal["all"] | list[str] = field(
        factory=list,
        metadata={
            "help": "further rows, one for each of these methods that is not in `rows`; all: every "
            "installed method"
        },
    )
    skip: dict[str, str] = field(
        factory=dict, metadata={"help": "methods that methods=all skips, each with the reason"}
    )
    overrides: dict[str, dict[str, Any]] = field(
        factory=dict,
        metadata={
            "help": "settings of `lightly run` by method, which override [run]; a key may name "
            "several methods, separated by commas"
        },
    )
    token_run: dict[str, Any] = field(
        factory=dict,
        metadata={"help": "settings that override [run] for the methods in token_methods"},
    )
    token_methods: list[str] = field(
        factory=list, metadata={"help": "methods that need a backbone with tokens"}
    )
    only: str | list[str] | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={"help": "rows to run, by name or method; 'a,b' or a list. None: all"},
    )
    overwrite: bool = field(
        default=False,
        metadata={"help": "run rows again whose settings have changed since they were run"},
    )
    launcher: str = field(
        default=DEFAULT_LAUNCHER,
        validator=not_empty,
        metadata={
            "help": "what runs the rows: local, this machine; or that of a plugin, such as ray or "
            "slurm"
        },
    )
    launcher_args: dict[str, Any] = field(
        factory=dict, metadata={"help": "options of the launcher"}
    )

    @property
    def folder(self) -> str:
        """Where everything is written."""
        return self.out if self.out is not None else f"out/{self.name}"

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names in `only`; empty for all rows."""
        if self.only is None:
            return ()
        words = self.only.split(",") if isinstance(self.only, str) else self.only
        return tuple(word.strip() for word in words if word.strip())
