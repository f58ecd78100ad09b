"""Parameters of the networks of a run, and the memory that they need. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.options.optim import LARSArgs, OptimizerArgs, SGDArgs

if TYPE_CHECKING:
    from torch import Tensor

    from lightly_core.contracts import Method, ModelWrapper

#: Bytes of a weight in the precisions that convert all weights.
_CONVERTED = {"16-true": 2, "bf16-true": 2, "64-true": 8}


@frozen(kw_only=True)
class RunSize:
    """Parameters of the networks of a run, and the bytes that they take.

    Attributes:
        backbone: Parameters of the backbone.
        trained: Parameters that the optimizer changes: those of backbone and heads.
        fixed: Other parameters: those of a teacher, or of a classifier that features do not need.
        weights_bytes: All parameters and buffers.
        gradient_bytes: Gradients of `trained`.
        optimizer_bytes: What the optimizer keeps of `trained`, such as momenta.
    """

    backbone: int
    trained: int
    fixed: int
    weights_bytes: int
    gradient_bytes: int
    optimizer_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes of weights, gradients and optimizer."""
        return self.weights_bytes + self.gradient_bytes + self.optimizer_bytes


def size_of_run(backbone: ModelWrapper, method: Method[Any], resolved: Resolved) -> RunSize:
    """Count the parameters of a run. The networks may be on the meta device.

    Args:
        backbone: The backbone, which is a part of the method.
        method: The method, with all its networks.
        resolved: Settings without "auto".
    """
    width = _CONVERTED.get(str(resolved.run.precision))
    groups = method.parameter_groups()
    trained = [parameter for group in groups for parameter in group.parameters]
    parameters = list(method.parameters())
    gradients = _bytes(trained, width)
    return RunSize(
        backbone=_count(backbone.parameters()),
        trained=_count(trained),
        fixed=_count(parameters) - _count(trained),
        weights_bytes=_bytes([*parameters, *method.buffers()], width),
        gradient_bytes=gradients,
        optimizer_bytes=gradients * states_of(resolved.optimizer),
    )


def states_of(optimizer: OptimizerArgs) -> int:
    """Return how many tensors an optimizer keeps for each parameter, of the parameter's shape."""
    if isinstance(optimizer, (SGDArgs, LARSArgs)):
        return 1 if optimizer.momentum else 0
    return 2  # the moments of Adam and AdamW


def size_rows(size: RunSize, resolved: Resolved) -> list[tuple[str, str]]:
    """Return what is printed about parameters and memory: names and texts."""
    more = f"; {count_text(size.fixed)} others are not trained" if size.fixed else ""
    parameters = (
        f"{count_text(size.backbone)} in the backbone; {count_text(size.trained)} are trained, "
        f"heads included{more}"
    )
    parts = (
        f"weights {bytes_text(size.weights_bytes)}, gradients {bytes_text(size.gradient_bytes)}, "
        f"optimizer {bytes_text(size.optimizer_bytes)}"
    )
    if resolved.run.strategy == "fsdp2":
        parts += f", sharded among {resolved.world_size} processes"
    each = " for each process" if resolved.world_size > 1 else ""
    memory = (
        f"{bytes_text(size.total_bytes)}{each} ({parts}), and the activations, which are not "
        "known before the first step"
    )
    return [("parameters", parameters), ("memory", memory)]


def count_text(count: int) -> str:
    """Return a number of parameters with three digits, such as ``11.2 million``."""
    for length, unit in ((1e9, "billion"), (1e6, "million")):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count:,}"


def bytes_text(count: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.1f} MiB" if count < 10 * 2**20 else f"{count / 2**20:.0f} MiB"


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _bytes(tensors: Iterable[Tensor], width: int | None) -> int:
    return sum(
        tensor.numel()
        * (width if width is not None and tensor.is_floating_point() else tensor.element_size())
        for tensor in tensors
    )
