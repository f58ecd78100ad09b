"""Single precision for the parts of a loss that need it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def no_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Switch autocast off, so that matrix products keep the precision of their arguments.

    Arguments that autocast has already made half precision must be converted by hand, see
    `single`.

    Args:
        device: Where the tensors are; on one without autocast this does nothing.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def single(x: Tensor) -> Tensor:
    """Return half precision as float32; float32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
