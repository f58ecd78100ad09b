"""Which process this is, before and after process groups exist."""

from __future__ import annotations

import os

# In the order in which launchers set them: torchrun, Lightning's own launcher, SLURM.
_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def early_rank() -> int:
    """Return the rank that the launcher has given this process; 0 when it is alone."""
    for variable in _RANK_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdigit():
            return int(value)
    return 0


def is_first_process() -> bool:
    """Tell whether this process writes files and speaks to the user."""
    return early_rank() == 0
