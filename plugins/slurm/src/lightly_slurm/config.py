"""Options of the launcher, with the names of `sbatch`."""

from __future__ import annotations

import re
import shutil
from typing import Any, Literal

from attrs import Attribute, define, field
from attrs.validators import ge, optional

from lightly_core.config.options.checks import not_empty

_MEMORY = re.compile(r"\d+[KMGT]?B?")


def _memory(instance: object, attribute: Attribute[Any], value: str) -> None:
    if not _MEMORY.fullmatch(value):
        raise ValueError(f"'{attribute.name}' must be an amount such as 32GB, got '{value}'")


@define(frozen=True, kw_only=True)
class SlurmArgs:
    """Rows as an array of SLURM jobs."""

    partition: str | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={"help": "partition; None: the default of the cluster"},
    )
    time: int = field(
        default=240,
        validator=ge(1),
        metadata={
            "help": "minutes of a job; a row that takes longer saves before, and is submitted again"
        },
    )
    save_seconds: int = field(
        default=120,
        validator=ge(1),
        metadata={
            "help": "seconds before the end of `time` at which a row gets the signal to save"
        },
    )
    gpus: int = field(default=0, validator=ge(0), metadata={"help": "GPUs of a row"})
    cpus: int = field(
        default=4, validator=ge(1), metadata={"help": "CPUs of a row, with its loader workers"}
    )
    mem: str | None = field(
        default=None,
        validator=optional(_memory),
        metadata={"help": "memory of a row, such as 32GB; None: the default of the cluster"},
    )
    account: str | None = field(
        default=None, validator=optional(not_empty), metadata={"help": "account that is charged"}
    )
    qos: str | None = field(
        default=None, validator=optional(not_empty), metadata={"help": "quality of service"}
    )
    array_parallelism: int = field(
        default=256, validator=ge(1), metadata={"help": "rows of an array that run at once"}
    )
    setup: list[str] = field(
        factory=list,
        metadata={"help": "lines of the job script before the row, such as 'module load cuda'"},
    )
    options: dict[str, str | int | bool] = field(
        factory=dict,
        metadata={"help": "further options of sbatch, such as {constraint = 'a100'}"},
    )
    logs: str | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={"help": "folder of job scripts and logs; None: `slurm` in the suite's folder"},
    )
    cluster: Literal["slurm", "local"] = field(
        default="slurm",
        metadata={"help": "local: jobs as processes of this machine, to try a suite without SLURM"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a warning that comes before the start, and lines that no script has."""
        if self.save_seconds >= 60 * self.time:
            raise ValueError(
                f"'save_seconds' must be less than 'time', got {self.save_seconds} s of "
                f"{60 * self.time} s"
            )
        if self.cluster == "local" and self.setup:
            raise ValueError("'setup' is for cluster=slurm, there is no job script; remove it")


def problems(options: SlurmArgs) -> list[str]:
    """Return why jobs cannot be submitted from this machine."""
    if options.cluster == "slurm" and shutil.which("sbatch") is None:
        return [
            "the command 'sbatch' of SLURM was not found; start the suite on a login node of the "
            "cluster, or set launcher_args.cluster=local to try it on this machine"
        ]
    return []
