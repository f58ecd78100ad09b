"""Run a copy of a model at several image sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload

from lightly_core.parts.known_shapes import KnownShapes
from lightly_timm.shapes import BATCH, Size
from lightly_timm.twin import twin_of

_LOOKUPS = frozenset(
    {
        torch.ops.aten.index.Tensor,
        torch.ops.aten.index_select.default,
        torch.ops.aten.gather.default,
        torch.ops.aten.embedding.default,
    }
)


def compute(model: nn.Module, entry: str, x: Tensor) -> object:
    """Run a method that computes features.

    Args:
        model: The model.
        entry: ``forward_features``; ``forward_intermediates``, for the last of these and the
            final output; or ``forward``.
        x: Images (B, C, H, W).
    """
    if entry == "forward_intermediates":
        method: Any = model.forward_intermediates
        return method(x, indices=1)
    return getattr(model, entry)(x)


class Trial:
    """A copy of a model to run. The model itself stays as it is.

    Args:
        model: The model.
        channels: C, channels of the images.
        on_meta: Run on the meta device, where tensors have no values.

    Attributes:
        twin: The copy, in evaluation mode.
        entry: Method that is run, see `compute`.
    """

    def __init__(self, model: nn.Module, channels: int, *, on_meta: bool) -> None:
        self.model = model
        self.channels = channels
        self.twin = twin_of(model, on_meta=on_meta)
        self.entry = "forward_features" if hasattr(model, "forward_features") else "forward"
        self._on_meta = on_meta
        self._lookups = _Lookups()
        parameter = next((p for p in self.twin.parameters() if p.is_floating_point()), None)
        self._device = torch.device("cpu") if parameter is None else parameter.device
        self._dtype = None if parameter is None else parameter.dtype

    def run(self, size: Size) -> object:
        """Return the output for images (B, C, *size)."""
        with torch.no_grad(), self._lookups:
            shape = (BATCH, self.channels, *size)
            images = torch.zeros(shape, device=self._device, dtype=self._dtype)
            return compute(self.twin, self.entry, images)

    def takes(self, size: Size) -> bool:
        """Return whether the model runs at an image size."""
        # An error of any class means that it does not.
        with contextlib.suppress(Exception):
            self.run(size)
            return True
        return False

    def confirms(self, size: Size) -> bool:
        """Return whether a size that works on the meta device works with values too.

        On the meta device an index outside of a table raises no error. So models with lookups are
        run again with values, unless timm states that they take any size.
        """
        configuration = getattr(self.model, "pretrained_cfg", None)
        stated = configuration if isinstance(configuration, Mapping) else {}
        if not (self._on_meta and self._lookups.seen and stated.get("fixed_input_size", True)):
            return True
        trial = Trial(self.model, self.channels, on_meta=False)
        trial.entry = self.entry
        return trial.takes(size)


class _Lookups(KnownShapes):  # type: ignore[no-untyped-call]
    """Records whether a lookup in a table takes place.

    Attributes:
        seen: Whether there was one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Run one operation."""
        self.seen = self.seen or func in _LOOKUPS
        return super().__torch_dispatch__(func, types, args, kwargs)
