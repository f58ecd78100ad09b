"""What a method is given: checks of it, and pooled features of images.

Shapes: B images on this process, C channels, D features.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext
from lightly_core.errors import ConfigError


def as_module(model: ModelWrapper) -> nn.Module:
    """Return a wrapper as the module that it is; its protocol cannot say so."""
    return cast(nn.Module, model)


def pooled_features(model: nn.Module | ModelWrapper, images: Tensor) -> Tensor:
    """Return the pooled features (B, D) of images (B, C, H, W)."""
    wrapper = cast(ModelWrapper, model)
    pooled = wrapper.forward_pool(wrapper.forward_features(images))["pooled_features"]
    return pooled.flatten(1)


def check_batch(context: RunContext, method: str, *, per_process: int = 1) -> None:
    """Refuse batches of one image, for methods that compare images.

    Args:
        context: Facts of the run.
        method: The method's name, for errors.
        per_process: Fewest images on a process: 2 where there is a batch norm.

    Raises:
        ConfigError: The batch is too small.
    """
    size, processes = context.global_batch_size, context.world_size
    least = max(2, per_process * processes)
    if size < least:
        raise ConfigError(
            f"method '{method}' got batch_size={size} for {processes} process"
            f"{'es' * (processes > 1)}, expected at least {least} (256 and more work well): what "
            "keeps all images from looking alike is taken over the batch; set a larger "
            "batch_size, or add images if the data has only one"
        )


def global_views(
    batch: Batch, context: RunContext, method: str, *, fewest: int = 2
) -> list[Tensor]:
    """Return the global views, G tensors (B, C, H, W).

    Args:
        batch: Its first ``context.num_views`` views are the global ones.
        context: Facts of the run.
        method: The method's name, for errors.
        fewest: How many views the method compares at the least.

    Raises:
        ConfigError: There are fewer views.
    """
    views = batch.views[: context.num_views]
    if len(views) < max(fewest, context.num_views):
        raise ConfigError(
            f"method '{method}' got {len(views)} views of an image, expected at least "
            f"{max(fewest, context.num_views)}; set transform_args.num_views={fewest} or more"
        )
    return views
