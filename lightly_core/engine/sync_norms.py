"""Batch norms of a run in several processes use the statistics of the images of all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.plugins import LayerSync
from torch import nn

from lightly_core.config.auto.resolve import Resolved
from lightly_core.parts.sync_batch_norm import desynchronise, synchronise

logger = logging.getLogger(__name__)

#: Accelerators on which batch norms are synchronised, and whether by torch's own class.
_WITH_TORCH = {"cpu": False, "gpu": True, "cuda": True}


class SynchronisedNorms(LayerSync):
    """Synchronises batch norms for the time of the training.

    Args:
        with_torch: See `synchronise`.
    """

    def __init__(self, *, with_torch: bool) -> None:
        self.with_torch = with_torch

    def apply(self, model: nn.Module) -> nn.Module:
        """Synchronise the batch norms in place. Those that cannot be are named in a warning."""
        left = synchronise(model, with_torch=self.with_torch)
        if left:
            kinds = sorted({type(model.get_submodule(name)).__name__ for name in left})
            logger.warning(
                "%d batch norms of the class %s are not synchronised, as it has a forward pass of "
                "its own: each process uses the statistics of its own images. The first is %s.",
                len(left),
                ", ".join(kinds),
                left[0],
            )
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Give the batch norms their classes back."""
        desynchronise(model)
        return model


def norm_settings(
    resolved: Resolved, requested: object, given: Sequence[Any]
) -> tuple[list[LayerSync], bool]:
    """Decide how batch norms are synchronised.

    Args:
        resolved: Settings without "auto".
        requested: ``trainer_args.sync_batchnorm``. None: if there are several processes.
        given: Lightning plugins of the user. Theirs is taken if it is a `LayerSync`.

    Returns:
        Plugins for Lightning's Trainer, and its argument ``sync_batchnorm``.
    """
    with_torch = _WITH_TORCH.get(str(resolved.run.accelerator))
    if with_torch is None or any(isinstance(plugin, LayerSync) for plugin in given):
        return [], bool(requested)
    wanted = requested is None or bool(requested)
    if not wanted or resolved.world_size == 1:
        return [], False
    return [SynchronisedNorms(with_torch=with_torch)], False
