"""What some backbones can do beyond the members of a `ModelWrapper`.

A wrapper has a capability when it has the methods of its protocol; nothing is declared. Methods and
the engine ask with `require_capability`.

Letters used for shapes: B images, C input channels, H and W pixels, D feature channels, h and w
positions of the patch grid, N = h * w patches, P prefix tokens, T width of the tokens in front of
the first block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

#: Names of the capabilities as plugins register them, see `lightly_core.plugins.catalog.Catalog`.
TOKENS = "tokens"
MULTI_SCALE = "multi_scale"
ACTIVATION_CHECKPOINTING = "activation_checkpointing"


@runtime_checkable
class TokenModel(Protocol):
    """A vision transformer whose patches can be masked or left out.

    Patches are numbered row by row. Prefix tokens are those in front of the patches: class token,
    registers, distillation token.
    """

    def patch_size(self) -> int:
        """Return the side of a patch in pixels."""
        ...

    def num_prefix_tokens(self) -> int:
        """Return P."""
        ...

    def token_dim(self) -> int:
        """Return T, the width that a mask token must have."""
        ...

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the patch grid (h, w) of images of this many pixels."""
        ...

    def forward_tokens(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the tokens behind the last block and its norm.

        Args:
            x: Normalised images (B, C, H, W).
            mask: Patches to replace by `mask_token` before positions are added, (B, N) bool.
            mask_token: (T,); needed with `mask`, gets a gradient.
            keep: Indices of the only patches to compute, (B, K) int64, positions kept; each row
                without repetition. Together with `mask`, the masked patches are replaced first.

        Returns:
            ``patch_tokens`` (B, N, D), or (B, K, D) in the order of `keep`; ``prefix_tokens``
            (B, P, D); and ``cls_token`` (B, D) where the model has one.
        """
        ...

    def forward_intermediates(
        self, x: Tensor, layers: int | Sequence[int], *, norm: bool = True
    ) -> list[dict[str, Tensor]]:
        """Compute the tokens behind several blocks.

        Args:
            x: Normalised images (B, C, H, W).
            layers: Indices of the blocks, negative ones from the end; or how many of the last.
            norm: Whether the model's last norm is applied to each.

        Returns:
            One dict a block, in the order of the blocks, as `forward_tokens` returns it.

        Raises:
            ValueError: There is no such block.
        """
        ...


@runtime_checkable
class MultiScaleFeatures(Protocol):
    """A backbone with feature maps of several strides."""

    def multi_scale_dims(self) -> tuple[int, ...]:
        """Return the width of each map, finest map first."""
        ...

    def forward_multi_scale(self, x: Tensor) -> list[Tensor]:
        """Compute the maps (B, D_i, h_i, w_i) of images (B, C, H, W), finest first."""
        ...


@runtime_checkable
class ActivationCheckpointing(Protocol):
    """A backbone that can compute activations again in the backward pass to save memory."""

    def set_activation_checkpointing(self, enabled: bool, every_n_blocks: int = 1) -> None:
        """Switch it on or off.

        Args:
            enabled: Off gives the same numbers, faster and with more memory.
            every_n_blocks: How many blocks are computed again together.

        Raises:
            ConfigError: The model supports no other number of blocks than 1.
        """
        ...


@runtime_checkable
class InputNormalization(Protocol):
    """A backbone that knows how the images that its weights were trained on were normalised."""

    def input_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel, for values in [0, 1]."""
        ...


def per_channel(values: Sequence[float], num_channels: int) -> tuple[float, ...]:
    """Repeat or cut numbers to one a channel, as first convolutions are adapted."""
    return tuple(float(values[channel % len(values)]) for channel in range(num_channels))
