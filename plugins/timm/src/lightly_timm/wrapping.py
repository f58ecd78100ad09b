"""The choice of a wrapper for a module of timm."""

from __future__ import annotations

from torch import nn

from lightly_timm.tokens import TimmTokenWrapper, has_token_capability
from lightly_timm.wrapper import TimmCheckpointingWrapper, TimmWrapper, supports_checkpointing


def wrap_timm(
    model: nn.Module,
    num_input_channels: int = 3,
    *,
    image_size: tuple[int, int] | None = None,
) -> TimmWrapper:
    """Wrap a module of timm with all the capabilities that it has.

    Args:
        model: The module; it is not changed.
        num_input_channels: Channels C of the images (B, C, H, W).
        image_size: As in `TimmWrapper`.

    Returns:
        A `lightly_timm.tokens.TimmTokenWrapper` for vision transformers, a
        `TimmCheckpointingWrapper` for models with activation checkpointing, or a `TimmWrapper`.

    Raises:
        ConfigError: The model has no features that can be found.
    """
    if has_token_capability(model):
        return TimmTokenWrapper(model, num_input_channels)
    if supports_checkpointing(model):
        return TimmCheckpointingWrapper(model, num_input_channels, image_size=image_size)
    return TimmWrapper(model, num_input_channels, image_size=image_size)
