"""Small transformers that predict patches from patches.

Shapes: B images, S visible patches, M patches to predict, P prefix tokens, N = h * w patches,
E features of the encoder, D features of the predictor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_methods.masked.patches import Grid


def sincos_positions(grid: Grid, dim: int) -> Tensor:
    """Return fixed position embeddings: one half encodes the row, the other the column.

    The sines of Attention Is All You Need (https://arxiv.org/abs/1706.03762) in two dimensions, as
    in MoCo v3 (https://arxiv.org/abs/2104.02057).

    Args:
        grid: (h, w).
        dim: D, a multiple of 4.

    Returns:
        (N, D), row by row, in [-1, 1].
    """
    frequencies = 10_000.0 ** (-torch.arange(dim // 4) / (dim // 4))  # (D / 4,)
    row, column = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in (row, column)]  # (N, D / 4) each
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1)


class Attention(nn.Module):
    """Attention with several heads.

    Args:
        dim: D, a multiple of `num_heads`.
        num_heads: Number of heads.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return what tokens x (B, M, D) find in a context (B, S, D), (B, M, D)."""
        query = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        key_value = self.key_value(context).unflatten(2, (2, self.num_heads, -1))
        key, value = key_value.permute(2, 0, 3, 1, 4)  # (B, heads, S, D / heads) each
        mixed = F.scaled_dot_product_attention(query, key, value)  # (B, heads, M, D / heads)
        result: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return result


class Block(nn.Module):
    """A block of a transformer: attention and a perceptron, each with a norm and a shortcut.

    Args:
        dim: D.
        num_heads: Heads of the attention.
        cross: Use cross-attention: tokens attend to a context, not to each other.
    """

    def __init__(self, dim: int, num_heads: int, *, cross: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.norm_context = nn.LayerNorm(dim, eps=1e-6) if cross else None
        self.attention = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return tokens (B, M, D) of tokens (B, M, D); `context` (B, S, D) is needed for cross."""
        query = self.norm1(x)
        key = query if self.norm_context is None else self.norm_context(context)
        x = x + self.attention(query, key)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class PatchPredictor(nn.Module):
    """Predict pixels or features of each hidden patch from the tokens of the visible ones.

    Visible tokens are projected to D features. Mask tokens are added to the sequence, and both get
    the fixed position of their patch, so the order of the patches does not matter. Prefix tokens
    (class token, registers) get no position. They take part, so they are trained too.

    With self-attention this is MAE's decoder (https://arxiv.org/abs/2111.06377) and the predictor
    of I-JEPA (https://arxiv.org/abs/2301.08243). With `cross` mask tokens attend to the visible
    tokens only, as in the predictor of CAPI (https://arxiv.org/abs/2502.08769).

    Args:
        encoder_dim: E.
        dim: D, a multiple of 4 and of `num_heads`.
        depth: Number of blocks.
        num_heads: Heads of the attention.
        grid: (h, w).
        output_dim: Features of a prediction; None: D, the output of the last norm.
        cross: Use cross-attention.
    """

    def __init__(
        self,
        encoder_dim: int,
        dim: int,
        *,
        depth: int,
        num_heads: int,
        grid: Grid,
        output_dim: int | None,
        cross: bool = False,
    ) -> None:
        super().__init__()
        self.cross = cross
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(0.02 * torch.randn(dim))
        self.blocks = nn.ModuleList(Block(dim, num_heads, cross=cross) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.output = nn.Identity() if output_dim is None else nn.Linear(dim, output_dim)
        self.apply(_init_linear)
        self.positions: Tensor
        self.register_buffer("positions", sincos_positions(grid, dim), persistent=False)

    def forward(self, tokens: dict[str, Tensor], keep: Tensor, hidden: Tensor) -> Tensor:
        """Predict hidden patches.

        Args:
            tokens: ``patch_tokens`` (B, S, E) of the visible patches, ``prefix_tokens`` (B, P, E).
            keep: Their patch numbers (B, S) int64.
            hidden: Numbers of the patches to predict (B, M) int64.

        Returns:
            (B, M, output_dim), in the order of `hidden`.
        """
        visible = self.embed(tokens["patch_tokens"])  # (B, S, D)
        positions = self.positions.to(visible.dtype)
        context = torch.cat(
            [self.embed(tokens["prefix_tokens"]), visible + positions[keep]], dim=1
        )  # (B, P + S, D)
        x = self.mask_token.to(visible.dtype) + positions[hidden]  # (B, M, D)
        if not self.cross:
            x = torch.cat([context, x], dim=1)  # (B, P + S + M, D)
        for block in self.blocks:
            x = block(x, context)
        result: Tensor = self.output(self.norm(x[:, -hidden.shape[1] :]))
        return result


def _init_linear(module: nn.Module) -> None:
    """Initialise linear layers as MAE does: Xavier weights, biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
