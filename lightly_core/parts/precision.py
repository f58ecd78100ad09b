"""Single precision for the parts of a loss that need it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def no_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Switch autocast off, so that matrix products keep the precision of their arguments.

    Arguments that autocast has already made half precision must be converted by hand.

    Args:
        device: Where the tensors are; on one without autocast this does nothing.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
