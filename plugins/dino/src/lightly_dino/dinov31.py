"""Post-training with patch-kernel alignment (PaKA, https://arxiv.org/abs/2509.05606).

Shapes: R global views of a batch, n crops of each, D features, g x g patches of a crop.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper, RunContext
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.methods.requirements import require_capability
from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import single
from lightly_dino.config_tokens import DINOv2Config, DINOv31Config
from lightly_dino.dinov2 import DINOv2
from lightly_dino.features import apply_head, encode
from lightly_dino.masked import Seen
from lightly_dino.patch_kernels import MasksAndBoxes, cut, kernel_distance


class DINOv31(DINOv2):
    """DINOv2 whose patches compare with each other as the teacher's do in the same place.

    The student sees small crops of the global views, the teacher the whole views; in the region
    that both have, the similarities of patches are aligned. Meant to follow another pretraining:
    it sharpens dense features. The paper gives the teacher views without changes of colour; here
    it sees the global views as they are.

    Args:
        config: Options of the method.
        model: Backbone to train on, a `TokenModel`.
        context: Facts of the run.

    Raises:
        ConfigError: As in `DINOv2`.
    """

    config: DINOv31Config

    name: ClassVar[str] = "dinov31"

    def __init__(self, config: DINOv31Config, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        patch = require_capability(model, TokenModel, needed_by="method 'dinov31'").patch_size()
        self._crop_size = config.paka_grid * patch

    def build_heads(self, config: DINOv2Config, dim: int) -> dict[str, nn.Module]:
        """Add the head whose outputs are compared among patches."""
        hidden = [config.hidden_dim] * 2
        head = mlp([dim, *hidden, config.bottleneck_dim], activation="gelu", init_std=0.02)
        return {**super().build_heads(config, dim), "paka": head}

    def sample_extras(self) -> MasksAndBoxes:
        """Return what draws masks, and places of the crops."""
        per_view = max(1, self.config.paka_num_local // self.context.num_views)
        return MasksAndBoxes(self.masks(), per_view)

    def further_terms(self, seen: Seen, step: int) -> list[tuple[str, float, Tensor]]:
        """Return the distance of the kernels; 0 in front of its first step."""
        weight = self.config.paka_weight
        if step < self.config.paka_start_step or not weight:
            # Several processes wait for a gradient of every parameter.
            zero = torch.stack([p.sum() for p in self.heads["paka"].parameters()]).sum() * 0
            return [("paka", weight, zero)]
        boxes = seen.extras["box"].to(seen.images.device, non_blocking=True)
        boxes = boxes.transpose(0, 1).flatten(0, 1)  # (R, n, 4)
        crops = cut(single(seen.images), boxes, self._crop_size).to(seen.images)
        student = apply_head(self.heads["paka"], encode(self._backbone(), crops).patches)
        with torch.no_grad():
            whole = apply_head(self.teacher["paka"], seen.teacher.patches)  # (R, N, P)
            maps = single(whole).transpose(1, 2).reshape(len(whole), -1, *self._grid)
            teacher = cut(maps, boxes, self.config.paka_grid).flatten(2).transpose(1, 2)
        return [("paka", weight, kernel_distance(student, teacher))]
