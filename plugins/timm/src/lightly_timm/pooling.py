"""Find out how a timm model pools its features, and do it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DROPOUTS = frozenset({F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout})


@dataclass(frozen=True)
class Pool:
    """How features are pooled.

    Attributes:
        kind: ``head`` for the model's ``forward_head``, ``method`` for its ``pool``, ``module``
            for one of its layers, ``token`` for the class token, ``mean`` for the mean.
        path: Where the layer is, for ``module``.
    """

    kind: Literal["head", "method", "module", "token", "mean"]
    path: str = ""


class _WithoutDropout(TorchFunctionMode):
    """Replaces dropout by the identity."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Run one function of torch."""
        if func in _DROPOUTS:
            return args[0]
        return func(*args, **(kwargs or {}))


def find_pool(model: nn.Module, raw: Tensor, dim: int, *, has_head: bool, has_prefix: bool) -> Pool:
    """Find the pooling that the model itself does.

    Args:
        model: In evaluation mode.
        raw: Its features as it computes them: (B, D, h, w), (B, h, w, D), (B, D, h * w) or
            (B, P + h * w, D); or its prefix tokens (B, P, D) where it returns them separately.
        dim: D. A layer that changes the dimension is not taken for pooling.
        has_head: Whether `raw` is what the model's head takes.
        has_prefix: Whether `raw` begins with prefix tokens.
    """
    for pool in _candidates(model, has_head=has_head):
        # Heads that expect another input raise errors of any class.
        with contextlib.suppress(Exception), torch.no_grad():
            pooled = apply_pool(model, pool, raw)
            if pooled.shape in ((raw.shape[0], dim), (raw.shape[0], dim, 1, 1)):
                return pool
    if has_prefix and getattr(model, "global_pool", None) == "token":
        return Pool("token")
    return Pool("mean")


def apply_pool(model: nn.Module, pool: Pool, raw: Tensor) -> Tensor:
    """Pool features with the model's own head, layer or method; without the head's dropout.

    Args:
        model: The model.
        pool: ``head``, ``method`` or ``module``.
        raw: As in `find_pool`.

    Returns:
        (B, D) or (B, D, 1, 1).
    """
    function: Callable[..., Any]
    if pool.kind == "module":
        function = model.get_submodule(pool.path)
    else:
        function = getattr(model, "forward_head" if pool.kind == "head" else "pool")
    arguments = {"pre_logits": True} if pool.kind == "head" else {}
    with _WithoutDropout() if model.training else contextlib.nullcontext():
        pooled = function(raw, **arguments)
    assert isinstance(pooled, Tensor)
    return pooled


def _candidates(model: nn.Module, *, has_head: bool) -> Iterator[Pool]:
    if has_head and hasattr(model, "forward_head"):
        yield Pool("head")
    if has_head and hasattr(model, "pool"):
        yield Pool("method")
    for path, _ in model.named_modules():
        if path.rpartition(".")[2] == "global_pool":
            yield Pool("module", path)
