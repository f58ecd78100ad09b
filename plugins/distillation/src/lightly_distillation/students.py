"""The kind of network that a student is."""

from __future__ import annotations

import re

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_NORM = re.compile(r"norm", re.IGNORECASE)
_ATTENTION = re.compile(r"attention|transformer", re.IGNORECASE)


def is_conv_with_batch_norm(model: nn.Module) -> bool:
    """Return whether a network consists of convolutions and batch norm, without attention.

    Transformers, hybrids and ConvNeXt (convolutions and layer norm) are not.

    Args:
        model: The network itself, not a wrapper.
    """
    has_batch_norm = False
    for module in model.modules():
        name = type(module).__name__
        if isinstance(module, _BatchNorm):
            has_batch_norm = True
        elif _ATTENTION.search(name):
            return False
        elif _NORM.search(name) and next(module.children(), None) is None:
            return False  # containers may have any name
    return has_batch_norm
