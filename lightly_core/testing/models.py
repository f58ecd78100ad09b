"""Backbones of a few thousand parameters, for tests that should take milliseconds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lightly_core.contracts import ModelWrapper
from lightly_core.errors import ConfigError


class TinyConv(ModelWrapper):
    """A `ModelWrapper` of three convolutions with batch norm, stride 8.

    Args:
        num_input_channels: C.
        feature_dim: D.
    """

    def __init__(self, num_input_channels: int = 3, feature_dim: int = 32) -> None:
        super().__init__()
        dims = (num_input_channels, feature_dim // 4, feature_dim // 2, feature_dim)
        self._feature_dim = feature_dim
        self._model = nn.Sequential(*(_block(*pair) for pair in itertools.pairwise(dims)))

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``features`` (B, D, H / 8, W / 8) of images (B, C, H, W)."""
        return {"features": self._model(x)}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean over positions as ``pooled_features`` (B, D, 1, 1)."""
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def forward(self, x: Tensor) -> Tensor:
        """Return pooled features (B, D)."""
        return torch.flatten(self.forward_pool(self.forward_features(x))["pooled_features"], 1)

    def feature_dim(self) -> int:
        """Return D."""
        return self._feature_dim

    def get_model(self) -> nn.Module:
        """Return the convolutions."""
        return self._model


def _block(dim_in: int, dim_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(dim_in, dim_out, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(dim_out),
        nn.ReLU(),
    )


class TinyTokens(ModelWrapper):
    """A `ModelWrapper` of a vision transformer with two blocks.

    It has all capabilities of `lightly_core.contracts.capabilities`. Images may have any size;
    pixels beyond the last whole patch are ignored. Learned positions are interpolated to the grid.

    Shapes: B images, C channels, D = `feature_dim`, h x w patch grid, N = h * w, P prefix tokens.

    Args:
        num_input_channels: C.
        feature_dim: D, a multiple of 8.
        patch_size: Side of a patch in pixels.
        class_token: Whether to add a class token, which pooling then returns.
        num_registers: Number of register tokens before the patches.
        depth: Number of blocks.
    """

    def __init__(
        self,
        num_input_channels: int = 3,
        feature_dim: int = 16,
        *,
        patch_size: int = 8,
        class_token: bool = True,
        num_registers: int = 1,
        depth: int = 2,
    ) -> None:
        super().__init__()
        num_prefix = int(class_token) + num_registers
        self._has_class_token = class_token
        self._blocks_per_checkpoint = 0
        self._model = _Transformer(num_input_channels, feature_dim, patch_size, num_prefix, depth)

    # ------------------------------------------------------------------- ModelWrapper

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``features`` (B, D, h, w) and ``cls_token`` (B, D) of images (B, C, H, W)."""
        tokens = self.forward_tokens(x)
        result = {"features": self._as_map(tokens["patch_tokens"], x)}
        if "cls_token" in tokens:
            result["cls_token"] = tokens["cls_token"]
        return result

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``pooled_features`` (B, D, 1, 1): the class token, or the mean over patches."""
        if "cls_token" in x:
            return {"pooled_features": x["cls_token"][:, :, None, None]}
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def forward(self, x: Tensor) -> Tensor:
        """Return pooled features (B, D)."""
        return torch.flatten(self.forward_pool(self.forward_features(x))["pooled_features"], 1)

    def feature_dim(self) -> int:
        """Return D."""
        return self._model.patch_embedding.out_channels

    def get_model(self) -> nn.Module:
        """Return the transformer."""
        return self._model

    # --------------------------------------------------------------------- TokenModel

    def patch_size(self) -> int:
        """Return the side of a patch in pixels."""
        return self._model.patch_embedding.kernel_size[0]

    def num_prefix_tokens(self) -> int:
        """Return P."""
        return self._model.prefix.shape[1]

    def token_dim(self) -> int:
        """Return D, the dimension of the tokens in all blocks."""
        return self.feature_dim()

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Return how many whole patches fit into `height` and `width` pixels."""
        return height // self.patch_size(), width // self.patch_size()

    def forward_tokens(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute all tokens; see `lightly_core.contracts.capabilities.TokenModel.forward_tokens`.

        Raises:
            ValueError: There is a mask without a mask token, or the image is smaller than a patch.
        """
        tokens = self._embed(x, mask, mask_token, keep)  # (B, P + N, D)
        for start, end in self._segments():
            tokens = self._run_blocks(tokens, start, end)
        return self._named(self._model.norm(tokens))

    def forward_intermediates(
        self, x: Tensor, layers: int | Sequence[int], *, norm: bool = True
    ) -> list[dict[str, Tensor]]:
        """Compute the tokens after several blocks; see `TokenModel.forward_intermediates`.

        Raises:
            ValueError: There is no such block.
        """
        depth = len(self._model.blocks)
        wanted = range(depth - layers, depth) if isinstance(layers, int) else layers
        indices = {index + depth if index < 0 else index for index in wanted}
        if isinstance(layers, int) and not 1 <= layers <= depth:
            raise ValueError(f"expected 1 to {depth} layers, got {layers}")
        if not indices <= set(range(depth)):
            raise ValueError(f"layers must lie in [{-depth}, {depth - 1}], got {list(wanted)}")
        tokens = self._embed(x, None, None, None)
        found = []
        for index in range(depth):
            tokens = self._run_blocks(tokens, index, index + 1)
            if index in indices:
                found.append(self._named(self._model.norm(tokens) if norm else tokens))
        return found

    # ------------------------------------------------------------- the other capabilities

    def multi_scale_dims(self) -> tuple[int, ...]:
        """Return the dimensions of the two maps."""
        return self.feature_dim() // 4, self.feature_dim()

    def forward_multi_scale(self, x: Tensor) -> list[Tensor]:
        """Return a map (B, D / 4, 2h, 2w) of the first block's tokens, and the features."""
        blocks = self.forward_intermediates(x, [0, -1])
        first, last = (self._as_map(blocks[i]["patch_tokens"], x) for i in (0, -1))
        return [F.pixel_shuffle(first, 2), last]

    def set_activation_checkpointing(self, enabled: bool, every_n_blocks: int = 1) -> None:
        """Switch checkpointing on or off for groups of `every_n_blocks` blocks.

        Raises:
            ConfigError: `every_n_blocks` is below 1.
        """
        if every_n_blocks < 1:
            raise ConfigError(f"every_n_blocks must be at least 1, got {every_n_blocks}")
        self._blocks_per_checkpoint = every_n_blocks if enabled else 0

    def input_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean 0.5 and standard deviation 0.5 for each channel."""
        channels = self._model.patch_embedding.in_channels
        return (0.5,) * channels, (0.5,) * channels

    # ------------------------------------------------------------------------- inside

    def _embed(
        self, x: Tensor, mask: Tensor | None, mask_token: Tensor | None, keep: Tensor | None
    ) -> Tensor:
        """Return the tokens before the first block, (B, P + N, D) or (B, P + K, D)."""
        model = self._model
        rows, columns = self.token_grid(*x.shape[2:])
        if min(rows, columns) < 1:
            raise ValueError(
                f"images of {tuple(x.shape[2:])} pixels are smaller than a patch of "
                f"{self.patch_size()} pixels"
            )
        patches = model.patch_embedding(x).flatten(2).transpose(1, 2)  # (B, N, D)
        if mask is not None:
            if mask_token is None:
                raise ValueError("a mask needs a mask_token")
            patches = torch.where(mask[:, :, None], mask_token.to(patches.dtype), patches)
        grid = F.interpolate(model.positions, size=(rows, columns), mode="bilinear")
        patches = patches + grid.flatten(2).transpose(1, 2)  # (B, N, D)
        if keep is not None:
            index = keep[:, :, None].expand(-1, -1, patches.shape[2])
            patches = patches.gather(1, index)  # (B, K, D)
        prefix = model.prefix.expand(len(x), -1, -1)
        return torch.cat([prefix.to(patches.dtype), patches], dim=1)

    def _segments(self) -> list[tuple[int, int]]:
        depth = len(self._model.blocks)
        step = self._blocks_per_checkpoint or depth
        return [(start, min(start + step, depth)) for start in range(0, depth, step)]

    def _run_blocks(self, tokens: Tensor, start: int, end: int) -> Tensor:
        blocks = self._model.blocks[start:end]
        if self._blocks_per_checkpoint and torch.is_grad_enabled():
            return checkpoint(blocks, tokens, use_reentrant=False)  # type: ignore[no-any-return]
        return blocks(tokens)  # type: ignore[no-any-return]

    def _named(self, tokens: Tensor) -> dict[str, Tensor]:
        count = self.num_prefix_tokens()
        result = {"patch_tokens": tokens[:, count:], "prefix_tokens": tokens[:, :count]}
        if self._has_class_token:
            result["cls_token"] = tokens[:, 0]
        return result

    def _as_map(self, patches: Tensor, images: Tensor) -> Tensor:
        grid = self.token_grid(*images.shape[2:])
        return patches.transpose(1, 2).reshape(len(patches), -1, *grid)  # (B, D, h, w)


class _Transformer(nn.Module):
    """Weights of `TinyTokens`."""

    def __init__(
        self, channels: int, dim: int, patch_size: int, num_prefix: int, depth: int
    ) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(channels, dim, patch_size, stride=patch_size)
        self.prefix = nn.Parameter(0.1 * torch.randn(1, num_prefix, dim))
        self.positions = nn.Parameter(0.1 * torch.randn(1, dim, 4, 4))
        self.blocks = nn.Sequential(*(_Block(dim) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)


class _Block(nn.Module):
    """A transformer block: attention and a perceptron, both with pre-norm and residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head_dim = 8
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, N, D) to tokens (B, N, D)."""
        qkv = self.qkv(self.norm1(x)).unflatten(2, (3, -1, self.head_dim))  # (B, N, 3, heads, 8)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, 8) each
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.project(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]
