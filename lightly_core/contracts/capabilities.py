"""Capabilities: methods that some backbones have beyond those of `ModelWrapper`.

A wrapper has a capability if it has the methods of the protocol. It declares nothing. Methods and
the engine check it with `require_capability`.

Letters used for shapes: B images, C input channels, H and W pixels, D feature channels, h and w
rows and columns of the patch grid, N = h * w patches, P prefix tokens, T dimension of the tokens
before the first block.
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
    """A vision transformer whose patches can be masked or dropped.

    Patches are numbered row by row. Prefix tokens come before the patch tokens: class token,
    registers, distillation token.
    """

    def patch_size(self) -> int:
        """Return the side of a patch in pixels."""
        ...

    def num_prefix_tokens(self) -> int:
        """Return P."""
        ...

    def token_dim(self) -> int:
        """Return T, the dimension that a mask token must have."""
        ...

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the patch grid (h, w) of images of this height and width in pixels."""
        ...

    def forward_tokens(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the tokens after the last block and the final norm.

        Args:
            x: Normalised images (B, C, H, W).
            mask: Patches to replace by `mask_token` before position embeddings are added, (B, N)
                bool.
            mask_token: (T,). Required with `mask`. It gets a gradient.
            keep: Indices of the patches to compute, (B, K) int64, without repetition in a row. They
                keep their position embeddings. With `mask`, masked patches are replaced first.

        Returns:
            ``patch_tokens`` (B, N, D), or (B, K, D) in the order of `keep`; ``prefix_tokens``
            (B, P, D); and ``cls_token`` (B, D) if the model has one.
        """
        ...

    def forward_intermediates(
        self, x: Tensor, layers: int | Sequence[int], *, norm: bool = True
    ) -> list[dict[str, Tensor]]:
        """Compute the tokens after several blocks.

        Args:
            x: Normalised images (B, C, H, W).
            layers: Indices of the blocks, negative ones from the end; or the number of last blocks.
            norm: Whether to apply the model's final norm to the tokens of each block.

        Returns:
            One dict per block, in the order of the blocks, as returned by `forward_tokens`.

        Raises:
            ValueError: A block does not exist.
        """
        ...


@runtime_checkable
class MultiScaleFeatures(Protocol):
    """A backbone with feature maps of several strides."""

    def multi_scale_dims(self) -> tuple[int, ...]:
        """Return the number of channels D_i of each feature map, finest first."""
        ...

    def forward_multi_scale(self, x: Tensor) -> list[Tensor]:
        """Compute the feature maps (B, D_i, h_i, w_i) of images (B, C, H, W), finest first."""
        ...


@runtime_checkable
class ActivationCheckpointing(Protocol):
    """A backbone that can recompute activations in the backward pass to save memory."""

    def set_activation_checkpointing(self, enabled: bool, every_n_blocks: int = 1) -> None:
        """Switch it on or off.

        Args:
            enabled: On saves memory and is slower. The results are the same.
            every_n_blocks: Number of blocks that are recomputed together.

        Raises:
            ConfigError: The model supports one block only.
        """
        ...


@runtime_checkable
class InputNormalization(Protocol):
    """A backbone that knows the normalisation of the images that its weights were trained on."""

    def input_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel, for values in [0, 1]."""
        ...


def per_channel(values: Sequence[float], num_channels: int) -> tuple[float, ...]:
    """Repeat or cut values to one per channel, as weights of a first convolution are adapted."""
    return tuple(float(values[channel % len(values)]) for channel in range(num_channels))
