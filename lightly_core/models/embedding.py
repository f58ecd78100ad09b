"""A backbone with another feature dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.models.probing import undisturbed


def embed(wrapper: ModelWrapper, embed_dim: int) -> EmbeddingWrapper:
    """Map a backbone's features to a given dimension, and its tokens if it is a `TokenModel`.

    Args:
        wrapper: The backbone.
        embed_dim: The new dimension, >= 1.
    """
    if isinstance(wrapper, TokenModel):
        return TokenEmbeddingWrapper(wrapper, embed_dim)
    return EmbeddingWrapper(wrapper, embed_dim)


class EmbeddingWrapper(ModelWrapper):
    """Map a backbone's features to a given dimension with a 1x1 convolution.

    It is a wrapper itself, so every method works with it. Use `embed` to create one. The same
    linear map is applied at every position, to the pooled features, the class token and all prefix
    tokens.

    Shapes: B images, C channels, D = dimension of the inner backbone, E = `embed_dim`, h and w
    feature positions, P prefix tokens.

    Args:
        wrapper: The backbone.
        embed_dim: E, >= 1.
    """

    def __init__(self, wrapper: ModelWrapper, embed_dim: int) -> None:
        super().__init__()
        # A wrapper is a module, which the protocol cannot express.
        self.wrapper = cast(nn.Module, wrapper)
        self.embed = nn.Conv2d(wrapper.feature_dim(), embed_dim, kernel_size=1)

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, E, h, w), ``pooled_features`` (B, E, 1, 1) and, if the backbone has
            them, ``cls_token`` (B, E) and ``prefix_tokens`` (B, P, E).
        """
        inner = self._inner()
        found = inner.forward_features(x)
        # The inner pooling may have a norm of dimension D, so it comes before the convolution.
        pooled = inner.forward_pool(found)["pooled_features"]
        result = {
            "features": self.embed(found["features"]),  # (B, E, h, w)
            "pooled_features": self.embed(pooled),  # (B, E, 1, 1)
        }
        return {**result, **self._embed_tokens(found)}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the pooled features (B, E, 1, 1).

        Args:
            x: Result of `forward_features`, or only ``features`` (B, E, h, w), which are averaged.
        """
        if "pooled_features" in x:
            return {"pooled_features": x["pooled_features"]}
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self) -> int:
        """Return E."""
        return self.embed.out_channels

    def get_model(self) -> nn.Module:
        """Return the user's own module, without the new convolution."""
        return self._inner().get_model()

    def _inner(self) -> ModelWrapper:
        return cast(ModelWrapper, self.wrapper)

    def _embed_tokens(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Apply the linear map to the entries whose last axis is D."""
        weight = self.embed.weight.flatten(1)  # (E, D)
        return {
            name: F.linear(found[name], weight, self.embed.bias)
            for name in ("patch_tokens", "prefix_tokens", "cls_token")
            if name in found
        }


class TokenEmbeddingWrapper(EmbeddingWrapper):
    """An `EmbeddingWrapper` around a `TokenModel`, and a `TokenModel` itself.

    Its tokens have dimension E. Nothing changes before the first block, so a mask token has the
    dimension T of the backbone's own tokens.

    Shapes: those of `EmbeddingWrapper`, N = h * w patches, K kept patches, T = `token_dim()`.

    Args:
        wrapper: The backbone, a `TokenModel`.
        embed_dim: E, >= 1.
    """

    def __init__(self, wrapper: ModelWrapper, embed_dim: int) -> None:
        super().__init__(wrapper, embed_dim)
        self._pools_class_token = _pools_class_token(wrapper)

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the pooled features (B, E, 1, 1).

        Args:
            x: Result of `forward_features`, or ``features`` (B, E, h, w) and ``cls_token`` (B, E)
                from `forward_tokens`. The class token is returned if the backbone pools to it,
                else the mean of the features.
        """
        if self._pools_class_token and "pooled_features" not in x and "cls_token" in x:
            return {"pooled_features": x["cls_token"][:, :, None, None]}
        return super().forward_pool(x)

    def patch_size(self) -> int:
        """Return the side of a patch in pixels."""
        return self._tokens().patch_size()

    def num_prefix_tokens(self) -> int:
        """Return P."""
        return self._tokens().num_prefix_tokens()

    def token_dim(self) -> int:
        """Return T."""
        return self._tokens().token_dim()

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the patch grid (h, w) of images of this height and width in pixels."""
        return self._tokens().token_grid(height, width)

    def forward_tokens(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute embedded tokens.

        Args:
            x: Normalised images (B, C, H, W).
            mask: Patches to replace by `mask_token`, (B, N) bool.
            mask_token: (T,), required with `mask`.
            keep: Indices of the only patches to compute, (B, K) int64.

        Returns:
            ``patch_tokens`` (B, N, E) or (B, K, E), ``prefix_tokens`` (B, P, E), and
            ``cls_token`` (B, E) if the backbone has one.
        """
        found = self._tokens().forward_tokens(x, mask=mask, mask_token=mask_token, keep=keep)
        return self._embed_tokens(found)

    def forward_intermediates(
        self, x: Tensor, layers: int | Sequence[int], *, norm: bool = True
    ) -> list[dict[str, Tensor]]:
        """Compute embedded tokens after several blocks, all with the same linear map.

        Args:
            x: Normalised images (B, C, H, W).
            layers: Indices of the blocks, or the number of last blocks.
            norm: Whether the model's last norm is applied to each.

        Returns:
            One dict for each block, as `forward_tokens` returns it.

        Raises:
            ValueError: There is no such block.
        """
        found = self._tokens().forward_intermediates(x, layers, norm=norm)
        return [self._embed_tokens(tokens) for tokens in found]

    def _tokens(self) -> TokenModel:
        return cast(TokenModel, self.wrapper)


def _pools_class_token(wrapper: ModelWrapper) -> bool:
    """Return whether a token model's pooled features are its class token, by trying it."""
    assert isinstance(wrapper, TokenModel)
    weight = next(iter(wrapper.parameters()))
    dim, num_prefix = wrapper.feature_dim(), wrapper.num_prefix_tokens()
    if not num_prefix:
        return False
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, num_prefix + 4, dim, generator=generator).to(weight)
    prefix, patches = tokens[:, :num_prefix], tokens[:, num_prefix:]
    found = {
        "features": patches.transpose(1, 2).reshape(1, dim, 2, 2),
        "prefix_tokens": prefix,
        "cls_token": prefix[:, 0],
    }
    with torch.no_grad(), undisturbed(wrapper):
        try:
            pooled = wrapper.forward_pool(found)["pooled_features"]
        except Exception:  # A pooling that needs more than this does not select a token.
            return False
    return torch.equal(pooled.flatten(1), prefix[:, 0])
