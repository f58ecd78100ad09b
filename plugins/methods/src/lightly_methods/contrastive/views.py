"""What methods that compare two views are given."""

from __future__ import annotations

from torch import Tensor

from lightly_core.contracts import Batch
from lightly_core.errors import ConfigError


def two_views(batch: Batch, method: str) -> tuple[Tensor, Tensor]:
    """Return both views, (B, C, H, W) each.

    Args:
        batch: What a step is given.
        method: The method's name, for errors.

    Raises:
        ConfigError: There are not two.
    """
    if len(batch.views) != 2:
        raise ConfigError(
            f"method '{method}' got {len(batch.views)} views of an image, expected two; "
            "set transform_args.num_views=2, and no transform_args.local_view"
        )
    first, second = batch.views
    return first, second
