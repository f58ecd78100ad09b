"""Batch norm with the statistics of the images of all processes.

torch's `nn.SyncBatchNorm` works on GPUs only, and `convert_sync_batchnorm` drops what a norm of a
library computes besides. `synchronise` handles both.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm

from lightly_core.parts.distributed import gather, world_size
from lightly_core.parts.precision import single

#: Children of a norm that also drops units and activates, in the order in which they are applied:
#: `BatchNormAct2d` of timm.
_DROP_AND_ACTIVATE = ["drop", "act"]


class SyncBatchNorm(_BatchNorm):
    """Batch norm with the mean and variance of the images of all processes, on any device.

    In training mode with several processes, mean and variance are those of the rows of all
    processes together, which may have different numbers of rows. All processes must call it equally
    often. Otherwise it is a plain batch norm. Arguments, parameters and buffers are those of
    `nn.BatchNorm2d`.

    Shape: (B, C, ...), any number of dimensions after C.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input, of the same shape."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        output: Tensor
        output, mean, variance, count = _Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._track(mean, variance, count)
        return output

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # the average of all batches
                momentum = 1.0 / float(self.num_batches_tracked)
        assert momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        # The running variance is the unbiased estimate, as in torch.
        unbiased = variance * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var), momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (B, C, ...), got a tensor of shape {tuple(input.shape)}")


class _Normalise(torch.autograd.Function):
    """Normalise (B, C, ...) with the statistics of all processes.

    With N rows in total, xhat the normalised input, w the weight, and sums over all processes::

        dx = w / std * (dy - sum(dy) / N - xhat * sum(dy * xhat) / N)
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, variance, count = _global_statistics(x)
        ctx.save_for_backward(x, weight, mean, variance, count)  # type: ignore[arg-type]
        ctx.eps = eps  # type: ignore[attr-defined]
        # torch takes weights in the number format of the input or of the statistics, not of both.
        factor, offset = (None if part is None else single(part) for part in (weight, bias))
        output = F.batch_norm(x, mean, variance, factor, offset, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, variance, count)
        return output, mean, variance, count

    @staticmethod
    def backward(
        ctx: FunctionCtx, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, weight, mean, variance, count = ctx.saved_tensors  # type: ignore[attr-defined]
        x, dy = single(x), single(gradient)
        eps = ctx.eps  # type: ignore[attr-defined]
        rstd = (variance + eps).rsqrt()
        # Kernels of torch, and a linear form in dy and x: far fewer passes than the formula above.
        own = _sums_of_gradient(dy, x, mean, variance, eps)  # sums of dy and of dy * xhat, (2, C)
        sums = own.clone()
        dist.all_reduce(sums)
        first, second = (sums / count).unbind()
        scale = rstd if weight is None else rstd * single(weight)
        slope = -scale * rstd * second
        shape = [1, -1, *[1] * (x.dim() - 2)]
        offset = (-scale * first - slope * mean).view(shape)
        dx = torch.addcmul(offset, dy, scale.view(shape)).addcmul_(x, slope.view(shape))
        # Of this process alone, as of all other parameters: DistributedDataParallel averages them.
        _, has_weight, has_bias, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        dw, db = own[1] if has_weight else None, own[0] if has_bias else None
        return dx.to(gradient.dtype), dw, db, None


def _global_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance of all rows of all processes, (C,) each, and the number of rows."""
    x = single(x)
    channels = x.shape[1]
    count = x.new_full((1,), x.numel() // channels)
    own = [x.new_zeros(channels)] * 2
    if x.numel():
        # The mean and the biased variance. On CPUs it takes a tenth of the time of `var_mean`.
        own = [*torch.batch_norm_update_stats(x, None, None, 0.0)]
    # Means and variances, not sums of squares, whose difference would lose digits.
    parts = gather(torch.cat([*own, count])[None])  # (processes, 2 * C + 1)
    means, variances, counts = parts.tensor_split([channels, 2 * channels], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    variance = (counts * (variances + (means - mean).square())).sum(0) / total
    return mean, variance, total


def _sums_of_gradient(dy: Tensor, x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Return the sums of dy and of dy * xhat over the rows of this process, (2, C)."""
    if not x.numel():
        return x.new_zeros(2, x.shape[1])
    backward = torch.ops.aten.native_batch_norm_backward
    wanted = [False, True, True]
    _, dw, db = backward(dy, x, None, mean, variance, None, None, False, eps, wanted)
    return torch.stack([db, dw])


class _DropAndActivate:
    """Apply the children in their order after the norm."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)  # type: ignore[misc]
        for child in self.children():  # type: ignore[attr-defined]
            x = child(x)
        return x


class _SyncBatchNormAct(_DropAndActivate, SyncBatchNorm):
    pass


class _TorchSyncBatchNormAct(_DropAndActivate, nn.SyncBatchNorm):
    pass


def synchronise(module: nn.Module, *, with_torch: bool = False) -> list[str]:
    """Let the batch norms of a module use the statistics of all processes, until `desynchronise`.

    The modules stay the same objects with the same parameters, buffers, children and hooks. Only
    their class changes.

    Args:
        module: Changed in place.
        with_torch: Use torch's `nn.SyncBatchNorm`, which has fast kernels for GPUs and works on
            nothing else. Otherwise `SyncBatchNorm`.

    Returns:
        The names of batch norms of other classes, which compute something of their own. They stay
        as they are.
    """
    plain, activating = (
        (nn.SyncBatchNorm, _TorchSyncBatchNormAct)
        if with_torch
        else (SyncBatchNorm, _SyncBatchNormAct)
    )
    left = []
    for name, norm in module.named_modules():
        if not isinstance(norm, _BatchNorm) or isinstance(norm, (SyncBatchNorm, nn.SyncBatchNorm)):
            continue
        if type(norm).forward is _BatchNorm.forward:
            _change_class(norm, plain)
        elif [child for child, _ in norm.named_children()] == _DROP_AND_ACTIVATE:
            _change_class(norm, activating)
        else:
            left.append(name)
    return left


def desynchronise(module: nn.Module) -> None:
    """Give the batch norms that `synchronise` has changed their classes back, also in copies."""
    for norm in module.modules():
        if original := norm.__dict__.pop("unsynchronised_class", None):
            norm.__dict__.pop("process_group", None)
            norm.__class__ = original


def _change_class(norm: nn.Module, synchronised: type[nn.Module]) -> None:
    norm.__dict__["unsynchronised_class"] = type(norm)
    # What `nn.SyncBatchNorm` has besides; None: all processes.
    norm.__dict__["process_group"] = None
    norm.__class__ = synchronised
