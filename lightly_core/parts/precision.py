"""Single precision for the parts of a loss that need it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def no_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Disable autocast, so that matrix products keep the precision of their arguments.

    Convert arguments that autocast has already made half precision with `single`.

    Args:
        device: Device of the tensors. Nothing happens on a device without autocast.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def single(x: Tensor) -> Tensor:
    """Convert half precision to float32. Tensors of float32 and float64 are not changed."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
