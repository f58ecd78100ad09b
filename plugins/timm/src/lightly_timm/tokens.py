"""Vision transformers of timm that can mask patches or compute only some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lightly_timm.wrapper import TimmWrapper, nearest_multiple, resize_to_multiple

Grid = tuple[int, int]

#: Resamples position embeddings of patches (1, N_old, T), in row-major order, from an old to a new
#: grid (rows, columns). Returns (1, N_new, T) of the same dtype. Called only where the grids
#: differ, and without the embeddings of prefix tokens.
ResamplePositions = Callable[[Tensor, Grid, Grid], Tensor]


class _Transformer(Protocol):
    """The members that timm's two classes share without a common base class."""

    patch_embed: Any
    blocks: Any
    rope: Any
    pos_drop: Callable[[Tensor], Tensor]
    norm_pre: Callable[[Tensor], Tensor]
    norm: Callable[[Tensor], Tensor]
    pos_embed: Tensor | None
    embed_dim: int
    num_prefix_tokens: int
    no_embed_class: bool
    dynamic_img_size: bool
    grad_checkpointing: bool
    rope_mixed: bool
    set_grad_checkpointing: Callable[[bool], None]


def resample_bicubic(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    """Resample position embeddings as timm does: bicubic, with antialiasing.

    Args:
        positions: Embeddings of the patches (1, N_old, T).
        old_grid: Rows and columns, N_old = rows * columns.
        new_grid: Rows and columns to resample to.

    Returns:
        (1, N_new, T).
    """
    resampled = resample_abs_pos_embed(
        positions, list(new_grid), old_size=list(old_grid), num_prefix_tokens=0
    )
    return cast(Tensor, resampled)


def has_token_capability(model: nn.Module) -> bool:
    """Return whether a model is a vision transformer that `TimmTokenWrapper` can run."""
    if not isinstance(model, (VisionTransformer, Eva)):
        return False
    # `TimmTokenWrapper` replaces these two methods, so a subclass must not override them.
    known = (VisionTransformer, VisionTransformerDistilled, Eva)
    own = [cls for cls in known if isinstance(model, cls)]
    embeds = any(type(model)._pos_embed is cls._pos_embed for cls in own)
    computes = any(type(model).forward_features is cls.forward_features for cls in own)
    vertical, horizontal = _patch_sides(model)
    return embeds and computes and vertical == horizontal


class TimmTokenWrapper(TimmWrapper):
    """A `TimmWrapper` of timm's `VisionTransformer` or `Eva` with the token capability.

    It calls the parts of the model in the model's own order. Without `mask` and `keep` the tokens
    are exactly those of the model's ``forward_features``. Images whose sides are no
    multiples of the patch are resized to the nearest multiples first.

    Shapes: B images, C channels, D = `feature_dim()` = T = `token_dim()`, h and w positions of
    the patch grid, N = h * w patches, P = `num_prefix_tokens()`.

    Args:
        model: A model for which `has_token_capability` holds; it is not changed.
        num_input_channels: C.
        resample_positions: Replaces timm's resampling of learned position embeddings for other
            grids: a function of the patches' embeddings (1, N_old, T), the old grid and the new
            grid (rows, columns), which returns (1, N_new, T). It is called only where the grids
            differ, and never for prefix tokens. A function of a module, so that the wrapper can
            be pickled. None: `resample_bicubic`.

    Raises:
        ConfigError: The model drops patches itself in training.
    """

    def __init__(
        self,
        model: nn.Module,
        num_input_channels: int = 3,
        *,
        resample_positions: ResamplePositions | None = None,
    ) -> None:
        super().__init__(model, num_input_channels)
        self._resample_positions = resample_positions or resample_bicubic
        self._blocks_per_checkpoint = 1

    # ------------------------------------------------------------------- the wrapper's members

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map; see `TimmWrapper.forward_features`."""
        tokens, rope, grid = self._embed(x)
        return self._from_tokens(self._vit.norm(self._run_blocks(tokens, rope)), grid)

    # -------------------------------------------------------------------------- token capability

    def patch_size(self) -> int:
        """Return the side of a patch in pixels."""
        return _patch_sides(self.model)[0]

    def num_prefix_tokens(self) -> int:
        """Return P."""
        return int(self._vit.num_prefix_tokens)

    def token_dim(self) -> int:
        """Return T, the dimension that a mask token must have."""
        return int(self._vit.embed_dim)

    def token_grid(self, height: int, width: int) -> Grid:
        """Return the patch grid (h, w) of images of this many pixels.

        Raises:
            ValueError: The model takes images of one size only, and this is another.
        """
        self._check_size((height, width))
        embed = self._vit.patch_embed
        sides = _patch_sides(self.model)
        if not embed.dynamic_img_pad:
            height, width = nearest_multiple(height, sides[0]), nearest_multiple(width, sides[1])
        return -(-height // sides[0]), -(-width // sides[1])

    def forward_tokens(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the tokens after the last block and the model's last norm.

        Args:
            x: Normalised images (B, C, H, W).
            mask: Patches to replace by `mask_token` before positions are added, (B, N) bool.
            mask_token: (T,); needed with `mask`, gets a gradient.
            keep: Indices of the only patches to compute, (B, K) int64, positions kept; each row
                without repetition. Together with `mask`, the masked patches are replaced first.

        Returns:
            ``patch_tokens`` (B, N, D), or (B, K, D) in the order of `keep`; ``prefix_tokens``
            (B, P, D); and ``cls_token`` (B, D) where the model has one.

        Raises:
            ValueError: `mask`, `mask_token` or `keep` do not fit the images or each other.
        """
        tokens, rope, _ = self._embed(x, mask, mask_token, keep)
        return self._split(self._vit.norm(self._run_blocks(tokens, rope)))

    def forward_intermediates(
        self, x: Tensor, layers: int | Sequence[int], *, norm: bool = True
    ) -> list[dict[str, Tensor]]:
        """Compute the tokens after several blocks.

        Args:
            x: Normalised images (B, C, H, W).
            layers: Indices of the blocks, negative ones from the end; or how many of the last.
            norm: Whether the model's last norm is applied to each.

        Returns:
            One dict a block, in the order of the blocks, as `forward_tokens` returns it.

        Raises:
            ValueError: There is no such block.
        """
        wanted = _block_indices(layers, len(self._vit.blocks))
        tokens, rope, _ = self._embed(x)
        start = 0
        found = []
        for index in wanted:
            tokens = self._run_blocks(tokens, rope, start, index + 1)
            found.append(self._split(self._vit.norm(tokens) if norm else tokens))
            start = index + 1
        return found

    # --------------------------------------------------------------- activation checkpointing

    def set_activation_checkpointing(self, enabled: bool, every_n_blocks: int = 1) -> None:
        """Compute activations again in the backward pass to save memory.

        Args:
            enabled: Off gives the same numbers, faster and with more memory.
            every_n_blocks: How many blocks are computed again together, >= 1.

        Raises:
            ValueError: `every_n_blocks` is below 1.
        """
        if every_n_blocks < 1:
            raise ValueError(f"every_n_blocks must be at least 1, got {every_n_blocks}")
        self._vit.set_grad_checkpointing(enabled)
        self._blocks_per_checkpoint = every_n_blocks

    # ----------------------------------------------------------------------------------- inside

    @property
    def _vit(self) -> _Transformer:
        return cast(_Transformer, self.model)

    def _embed(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Grid]:
        """Return the tokens before the first block, their rotary embedding and the grid."""
        vit = self._vit
        patches = vit.patch_embed(self._fit(x))  # (B, h, w, T) or (B, N, T)
        grid: Grid = vit.patch_embed.grid_size
        if patches.ndim == 4:
            grid = patches.shape[1], patches.shape[2]
            patches = patches.flatten(1, 2)  # (B, N, T)
        if mask is not None or mask_token is not None:
            patches = _replace(patches, mask, mask_token)
        tokens = vit.pos_drop(self._add_positions(patches, grid))  # (B, P + N, T)
        rope = self._rope(grid)
        if keep is not None:
            tokens = _select(tokens, keep, vit.num_prefix_tokens)
            rope = None if rope is None else _select_rope(rope, keep)
        return vit.norm_pre(tokens), rope, grid

    def _add_positions(self, patches: Tensor, grid: Grid) -> Tensor:
        """Put prefix tokens in front and add learned positions, where the model has them."""
        vit = self._vit
        parts = [getattr(vit, name, None) for name in ("cls_token", "dist_token", "reg_token")]
        prefix = [part.expand(patches.shape[0], -1, -1) for part in parts if part is not None]
        positions = vit.pos_embed
        if positions is None:
            return torch.cat([*prefix, patches], dim=1)
        count = 0 if vit.no_embed_class else vit.num_prefix_tokens
        old_grid: Grid = tuple(vit.patch_embed.grid_size)
        if grid != old_grid:
            resampled = self._resample_positions(positions[:, count:], old_grid, grid)
            positions = torch.cat([positions[:, :count], resampled], dim=1)
        if vit.no_embed_class:
            return torch.cat([*prefix, patches + positions], dim=1)
        return torch.cat([*prefix, patches], dim=1) + positions

    def _rope(self, grid: Grid) -> Tensor | None:
        """Return the rotary embedding (N, R), or (depth, heads, N, R) where each block has one."""
        vit = self._vit
        rope = getattr(vit, "rope", None)
        if rope is None:
            return None
        if not vit.dynamic_img_size and hasattr(rope, "feat_shape"):
            return cast(Tensor, rope.get_embed())
        return cast(Tensor, rope.get_embed(shape=list(grid)))

    def _run_blocks(
        self, tokens: Tensor, rope: Tensor | None, start: int = 0, stop: int | None = None
    ) -> Tensor:
        vit = self._vit
        stop = len(vit.blocks) if stop is None else stop
        saves = vit.grad_checkpointing and torch.is_grad_enabled()
        step = self._blocks_per_checkpoint if saves else max(1, stop - start)
        for first in range(start, stop, step):
            last = min(first + step, stop)
            if saves:
                tokens = checkpoint(self._run_some, tokens, rope, first, last, use_reentrant=False)
            else:
                tokens = self._run_some(tokens, rope, first, last)
        return tokens

    def _run_some(self, tokens: Tensor, rope: Tensor | None, start: int, stop: int) -> Tensor:
        vit = self._vit
        for index in range(start, stop):
            block = vit.blocks[index]
            if rope is None:
                tokens = block(tokens)
            else:
                tokens = block(tokens, rope=rope[index] if vit.rope_mixed else rope)
        return tokens

    def _split(self, tokens: Tensor) -> dict[str, Tensor]:
        count = self._anatomy.num_prefix_tokens
        result = {"patch_tokens": tokens[:, count:], "prefix_tokens": tokens[:, :count]}
        if self._anatomy.has_cls_token:
            result["cls_token"] = tokens[:, 0]
        return result

    def _fit(self, x: Tensor) -> Tensor:
        """Resize images to a size that the model takes."""
        height, width = x.shape[-2:]
        self._check_size((height, width))
        if self._vit.patch_embed.dynamic_img_pad:
            return x
        return resize_to_multiple(x, *_patch_sides(self.model))


def _patch_sides(model: nn.Module) -> tuple[int, int]:
    """Return height and width of a patch in pixels."""
    embed: Any = model.patch_embed
    vertical, horizontal = (
        embed.feat_ratio(as_scalar=False) if hasattr(embed, "feat_ratio") else embed.patch_size
    )
    return int(vertical), int(horizontal)


def _replace(patches: Tensor, mask: Tensor | None, mask_token: Tensor | None) -> Tensor:
    """Put the mask token in place of the masked patches of (B, N, T)."""
    if mask is None or mask_token is None:
        raise ValueError("mask and mask_token are needed together; only one of them was given")
    if mask.shape != patches.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be bool {tuple(patches.shape[:2])}, one value per patch, got {mask.dtype} "
            f"{tuple(mask.shape)}"
        )
    if mask_token.shape != patches.shape[2:]:
        raise ValueError(
            f"mask_token must be {tuple(patches.shape[2:])}, got {tuple(mask_token.shape)}"
        )
    return torch.where(mask[..., None], mask_token.to(patches.dtype), patches)


def _select(tokens: Tensor, keep: Tensor, num_prefix_tokens: int) -> Tensor:
    """Return the prefix tokens and the patches `keep` (B, K) of tokens (B, P + N, T)."""
    if keep.ndim != 2 or len(keep) != len(tokens) or keep.dtype != torch.int64:
        raise ValueError(
            f"keep must be int64 ({len(tokens)}, K), indices of patches for each image, got "
            f"{keep.dtype} {tuple(keep.shape)}"
        )
    patches = tokens[:, num_prefix_tokens:]
    index = keep[..., None].expand(-1, -1, tokens.shape[2])  # (B, K, T)
    return torch.cat([tokens[:, :num_prefix_tokens], patches.gather(1, index)], dim=1)


def _select_rope(rope: Tensor, keep: Tensor) -> Tensor:
    """Return for each image the rotary embeddings of its patches, in a form blocks take.

    Args:
        rope: (N, R), or (depth, heads, N, R).
        keep: (B, K).

    Returns:
        (B, 1, K, R), or (depth, B, heads, K, R).
    """
    if rope.ndim == 2:
        return rope[keep][:, None]
    return rope[:, :, keep].transpose(1, 2)  # (depth, heads, B, K, R) before


def _block_indices(layers: int | Sequence[int], depth: int) -> list[int]:
    """Return the indices of the requested blocks, in ascending order."""
    if isinstance(layers, int):
        if not 1 <= layers <= depth:
            raise ValueError(
                f"layers must be 1 to {depth} for a model of {depth} blocks, got {layers}"
            )
        return list(range(depth - layers, depth))
    wrong = [index for index in layers if not -depth <= index < depth]
    if wrong or not layers:
        raise ValueError(
            f"layers must be indices {-depth} to {depth - 1} of a model of {depth} blocks, got "
            f"{list(layers)}"
        )
    return sorted({index % depth for index in layers})
