"""Random numbers for large tensors at a fraction of the time: a block of them, repeated.

Tests of whole families of models spend much of their time drawing weights. What they show does not
depend on how each weight was drawn, as long as rows differ and numbers have the right scale.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

#: Numbers that are drawn. It is a prime, so rows of a matrix start at different places of it.
BLOCK = 65_521


def repeat_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors on the CPU with more than `BLOCK` numbers repeat the first ones.

    This holds for ``Tensor.normal_`` and ``Tensor.uniform_``, with which layers and libraries draw
    initial weights, and for ``torch.randn_like``. Smaller tensors get the same numbers as without.
    """
    for name in ("normal_", "uniform_"):
        monkeypatch.setattr(Tensor, name, _repeating(getattr(Tensor, name)))
    monkeypatch.setattr(torch, "randn_like", lambda tensor: torch.empty_like(tensor).normal_())


def _repeating(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def fill(tensor: Tensor, *args: object, **options: object) -> Tensor:
        if tensor.numel() <= BLOCK or tensor.device.type != "cpu" or not tensor.is_contiguous():
            return draw(tensor, *args, **options)
        block = draw(tensor.new_empty(BLOCK), *args, **options)
        numbers = tensor.detach().view(-1)
        whole = len(numbers) // BLOCK * BLOCK
        numbers[:whole].view(-1, BLOCK).copy_(block)
        numbers[whole:].copy_(block[: len(numbers) - whole])
        return tensor

    return fill
