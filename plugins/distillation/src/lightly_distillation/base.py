"""What the three distillations share: teacher, mixup, cache, and projected feature maps.

Shapes: B images, C channels, D features of the student, K of the teacher, h and w positions of
the teacher's feature map, N = h * w.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method
from lightly_core.parts.mixup import mixup
from lightly_distillation.cache import FeatureCache
from lightly_distillation.cache_plan import plan_cache
from lightly_distillation.config import DistillationConfig
from lightly_distillation.loading import build_teacher
from lightly_distillation.teacher import resize

D = TypeVar("D", bound=DistillationConfig)


class Distillation(Method[D]):
    """Base of the distillations. The student is the backbone; its heads are dropped afterwards.

    A subclass defines what the teacher computes (`target_shapes`, `compute_targets`) and calls
    this `build` before it creates its heads.
    """

    def build(self) -> None:
        """Load the teacher, and plan the cache of its features."""
        self.teacher = build_teacher(self.config, self.context)
        self._cache: FeatureCache | None = None
        if self.config.cache is not None:
            facts, shapes = self.teacher.facts(), self.target_shapes()
            self._cache = FeatureCache(plan_cache(self.config, self.context, facts, shapes))

    @abstractmethod
    def target_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape, without B, of each tensor that `compute_targets` returns."""

    @abstractmethod
    def compute_targets(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the teacher's features of images (B, C, H, W)."""

    def images(self, batch: Batch) -> Tensor:
        """Return the images that both networks see (B, C, H, W), blended by mixup if wanted."""
        (images,) = mixup(batch.views).views if self.config.blends() else batch.views
        return images

    def targets(self, batch: Batch, images: Tensor) -> tuple[Tensor, ...]:
        """Return the teacher's features. Those that the cache holds are not computed again.

        Args:
            batch: Its `view_ids` name the views.
            images: What `images` returned.
        """
        if self._cache is None:
            return self.compute_targets(images)
        return self._cache.features(batch.view_ids, images, self.compute_targets)

    def pooled(self, features: dict[str, Tensor]) -> Tensor:
        """Return pooled features (B, D) of what the student's ``forward_features`` returned."""
        return self.model.forward_pool(features)["pooled_features"].flatten(1)


def project_map(features: Tensor, head: nn.Module, size: Sequence[int]) -> Tensor:
    """Apply a head at every position of a feature map, and resize the result to another grid.

    Args:
        features: (B, D, height, width).
        head: From (..., D) to (..., K).
        size: (h, w).

    Returns:
        (B, N, K).
    """
    projected = head(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (B, K, height, width)
    return tokens(resize(projected, size))


def tokens(features: Tensor) -> Tensor:
    """Turn a map (B, K, h, w) into rows (B, N, K)."""
    return features.flatten(2).transpose(1, 2)


def agreement(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cosine of the rows (..., K) of student and teacher, in [-1, 1], detached."""
    return F.cosine_similarity(student.detach().float(), teacher.float(), dim=-1).mean()
