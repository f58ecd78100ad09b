"""What the three distillations share: a teacher, mixup, and how the student's map meets its own.

Shapes: B images, C channels, D features of the student, K of the teacher, h and w positions of
the teacher's map, N = h * w.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext
from lightly_core.parts.mixup import mixup
from lightly_distillation.cache import FeatureCache
from lightly_distillation.cache_plan import plan_cache
from lightly_distillation.config import DistillationConfig
from lightly_distillation.loading import build_teacher
from lightly_distillation.teacher import resize


class Distillation(Method[DistillationConfig]):
    """Base of the distillations.

    Args:
        config: Options of the method.
        model: Student; what is put on top of it is dropped after training.
        context: Facts of the run.

    Raises:
        ConfigError: The teacher cannot be had, or does not suit.
    """

    def __init__(
        self, config: DistillationConfig, model: ModelWrapper, context: RunContext
    ) -> None:
        super().__init__(config, model, context)
        self.teacher = build_teacher(config, context)
        self._cache: FeatureCache | None = None
        if config.cache is not None:
            self._cache = FeatureCache(
                plan_cache(config, context, self.teacher.facts(), self.target_shapes())
            )

    @abstractmethod
    def target_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return a name and the shape, without B, of everything that `compute_targets` returns."""

    @abstractmethod
    def compute_targets(self, images: Tensor) -> tuple[Tensor, ...]:
        """Ask the teacher for the features of images (B, C, H, W)."""

    def images(self, batch: Batch) -> Tensor:
        """Return what both networks see: the view, blended if wanted, (B, C, H, W)."""
        views = mixup(batch.views).views if self.config.blends() else batch.views
        return views[0]

    def targets(self, batch: Batch, images: Tensor) -> tuple[Tensor, ...]:
        """Return the teacher's features, read from the cache where they are there.

        Args:
            batch: Says which views these are.
            images: What `images` returned.
        """
        if self._cache is None:
            return self.compute_targets(images)
        return self._cache.features(batch.view_ids, images, self.compute_targets)

    def pooled(self, features: dict[str, Tensor]) -> Tensor:
        """Return the student's pooled features (B, D) of what its ``forward_features`` gave."""
        return self.model.forward_pool(features)["pooled_features"].flatten(1)


def project_map(features: Tensor, head: nn.Module, size: Sequence[int]) -> Tensor:
    """Apply a head at every position of a map, and bring the result to another grid.

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
    """Return the mean cosine of rows (..., K) of student and teacher, in [-1, 1], detached."""
    return F.cosine_similarity(student.detach().float(), teacher.float(), dim=-1).mean()
