"""Patch-kernel alignment: crops, and the distance of their kernels (PaKA, arXiv:2509.05606).

Shapes: R views, T of them of one image, n crops of each, N patches of a crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single
from lightly_dino.masks import BlockMasks

#: Area of a crop as a fraction of its view, and its width / height.
_AREA = (0.05, 0.4)
_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class MasksAndBoxes:
    """Samples masks, and places of crops within the global views.

    Attributes:
        masks: Samples the masks.
        boxes_per_view: n.
    """

    masks: BlockMasks
    boxes_per_view: int

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``mask`` as `BlockMasks` does, and ``box`` (T, n, 4) float32.

        A box is top, left, height and width, as fractions of the view.
        """
        extras = self.masks(rng)
        shape = (self.masks.num_views, self.boxes_per_view)
        area = rng.uniform(*_AREA, shape)
        aspect = np.exp(rng.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1]), shape))
        height, width = np.sqrt(area / aspect), np.sqrt(area * aspect)
        top, left = rng.random(shape) * (1 - height), rng.random(shape) * (1 - width)
        boxes = np.stack([top, left, height, width], axis=-1).astype(np.float32)
        return {**extras, "box": torch.from_numpy(boxes)}


def cut(maps: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut boxes out of maps and resize them, bilinearly.

    Args:
        maps: Images or features, (R, C, H, W).
        boxes: (R, n, 4), see `MasksAndBoxes`.
        size: Side of the result.

    Returns:
        (R * n, C, size, size), crops of one map in a row.
    """
    top, left, height, width = boxes.to(maps).unbind(dim=-1)  # (R, n) each
    centres = (torch.arange(size, device=maps.device, dtype=maps.dtype) + 0.5) / size
    # From fractions of the map to the [-1, 1] of grid_sample, whose ends are the map's borders.
    rows = 2 * (top[..., None] + height[..., None] * centres) - 1  # (R, n, size)
    columns = 2 * (left[..., None] + width[..., None] * centres) - 1
    y = rows[..., :, None].expand(-1, -1, -1, size)
    x = columns[..., None, :].expand(-1, -1, size, -1)
    num_boxes, channels = boxes.shape[1], maps.shape[1]
    grid = torch.stack([x, y], dim=-1).flatten(1, 2)  # (R, n * size, size, 2)
    cuts = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
    cuts = cuts.reshape(len(maps), channels, num_boxes, size, size)
    return cuts.transpose(1, 2).flatten(0, 1)


def kernel_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``1 - CKA`` of the similarities of patches, the mean over crops.

    With features less their mean over the patches, and ``S = s @ s.T`` and ``T = t @ t.T`` of a
    crop, CKA is the cosine of the two matrices (Kornblith et al. 2019,
    https://arxiv.org/abs/1905.00414).

    Args:
        student: (M, N, D).
        teacher: (M, N, E), the same places; no gradient.

    Returns:
        Scalar in [0, 1], at least float32; 0 where the kernels are equal up to a factor.
    """
    with no_autocast(student.device):
        own, wanted = _kernel(single(student)), _kernel(single(teacher.detach()))
        return 1 - F.cosine_similarity(own.flatten(1), wanted.flatten(1), dim=1).mean()


def _kernel(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=1, keepdim=True)
    # Products of products: without a common length they would be very large or small.
    centred = F.normalize(centred.flatten(1), dim=1).view_as(centred)
    return centred @ centred.mT  # (M, N, N)
