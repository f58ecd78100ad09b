"""Options of the launcher of lightly-core itself."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge


@define(frozen=True, kw_only=True)
class LocalArgs:
    """Rows as processes of this machine."""

    rows_at_once: int = field(
        default=1,
        validator=ge(1),
        metadata={"help": "rows that run at the same time; they share CPUs, memory and GPUs"},
    )
    fork_rows: bool = field(
        default=True,
        metadata={
            "help": "on Linux, start the process of a row as a copy of one that has imported "
            "torch; false, or several rows at once: as a new interpreter"
        },
    )
