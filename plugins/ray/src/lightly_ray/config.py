"""Options of the launcher, with the names of Ray."""

from __future__ import annotations

import math
import re
from typing import Any

from attrs import Attribute, define, field
from attrs.validators import and_, ge, optional

from lightly_core.config.options.checks import finite

_ADDRESS = re.compile(r"auto|(ray://)?[^\s/:]+:\d+")


def _address(instance: object, attribute: Attribute[Any], value: str) -> None:
    if not _ADDRESS.fullmatch(value):
        raise ValueError(
            f"'{attribute.name}' must be HOST:PORT, ray://HOST:PORT or auto, got '{value}'; remove "
            "it to start a cluster on this machine"
        )


def _amount(instance: object, attribute: Attribute[Any], value: float) -> None:
    if value > 1 and value != math.floor(value):
        raise ValueError(
            f"'{attribute.name}' must be at most 1 or a whole number, got {value}; Ray divides "
            "single devices only"
        )


@define(frozen=True, kw_only=True)
class RayArgs:
    """Rows as tasks of a Ray cluster."""

    address: str | None = field(
        default=None,
        validator=optional(_address),
        metadata={
            "help": "the cluster: HOST:PORT, ray://HOST:PORT for a driver outside of it, or auto "
            "for that of this machine; None: one is started on this machine for the suite"
        },
    )
    num_cpus: float = field(
        default=1.0,
        validator=and_(finite, ge(0), _amount),
        metadata={"help": "CPUs of a row, which also limit its threads"},
    )
    num_gpus: float = field(
        default=0.0,
        validator=and_(finite, ge(0), _amount),
        metadata={"help": "GPUs of a row; 0.5: two rows share one"},
    )
    max_retries: int = field(
        default=3,
        validator=ge(-1),
        metadata={"help": "how often a row goes on elsewhere after a machine is lost; -1: always"},
    )
    resource_timeout: float = field(
        default=60.0,
        validator=and_(finite, ge(0)),
        metadata={
            "help": "seconds to wait for a machine that is large enough for a row; more for "
            "clusters that grow"
        },
    )
