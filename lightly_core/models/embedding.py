"""A backbone with another width."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from lightly_core.protocols import ModelWrapper


class EmbeddingWrapper(nn.Module):
    """Bring a backbone's features to a chosen width with a 1x1 convolution.

    It is a wrapper itself, so every method works with it. The same linear map is applied at
    every position, to the pooled features and to the class token.

    Shapes: B images, C channels, D = width of the inner backbone, E = `embed_dim`, h and w
    feature positions.

    Args:
        wrapper: The backbone.
        embed_dim: E, >= 1.
    """

    def __init__(self, wrapper: ModelWrapper, embed_dim: int) -> None:
        super().__init__()
        # A wrapper is a module; the protocol cannot say so.
        self.wrapper = cast(nn.Module, wrapper)
        self.embed = nn.Conv2d(wrapper.feature_dim(), embed_dim, kernel_size=1)

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, E, h, w), ``pooled_features`` (B, E, 1, 1) and, where the backbone
            has one, ``cls_token`` (B, E).
        """
        inner = self._inner()
        found = inner.forward_features(x)
        # The inner pooling may have a norm of width D, so it has to come before the convolution.
        pooled = inner.forward_pool(found)["pooled_features"]
        result = {
            "features": self.embed(found["features"]),  # (B, E, h, w)
            "pooled_features": self.embed(pooled),  # (B, E, 1, 1)
        }
        if "cls_token" in found:
            token = found["cls_token"][:, :, None, None]  # (B, D, 1, 1)
            result["cls_token"] = self.embed(token).flatten(1)  # (B, E)
        return result

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the pooled features (B, E, 1, 1).

        Args:
            x: What `forward_features` returned; or features (B, E, h, w) alone, which are
                averaged.
        """
        if "pooled_features" in x:
            return {"pooled_features": x["pooled_features"]}
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self) -> int:
        """Return E."""
        return self.embed.out_channels

    def get_model(self) -> nn.Module:
        """Return the user's own module, which has no part of the new convolution."""
        return self._inner().get_model()

    def _inner(self) -> ModelWrapper:
        return cast(ModelWrapper, self.wrapper)
