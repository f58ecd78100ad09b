"""MoCo v3: find the key of an image's other view in the batch (Chen et al. 2021, arXiv:2104.02057).

Shapes: B images on this process, W processes, P = ``output_dim``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightly_core.contracts import Batch, ModelWrapper, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.contrast import contrast_keys, top1
from lightly_core.parts.heads import mlp
from lightly_core.parts.layer_decay import layer_decay_factors
from lightly_methods.contrastive.mocov3_config import MoCoV3Config


class MoCoV3(TeacherMethod[MoCoV3Config]):
    """Find the key of an image's other view among the keys of the batch.

    MoCo v2 with a large batch in place of the queue, and a predictor after the projector of the
    queries. The key encoder is an EMA of backbone and projector. `MoCoV3Config` names the paper's
    options for vision transformers. https://arxiv.org/abs/2104.02057

    Differs from the paper's code:

    - The momentum starts lower in short runs.
    - A transformer keeps its own position embedding and number of heads.
    """

    def build(self) -> None:
        """Create projector and predictor, and the key encoder."""
        config, dim = self.config, self.config.output_dim
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [self.model.feature_dim(), *hidden, dim], norm="batch", last_norm="no_affine"
        )
        self.predictor = mlp(
            [dim, config.predictor_hidden_dim, dim],
            norm="batch",
            last_norm="no_affine" if config.predictor_norm else False,
        )
        self.frozen = patch_embedding(self.model) if config.freeze_patch_embed else []
        self.add_teacher("projector", batch_norm="own_statistics")

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Contrast each view with the key of the other one. The networks get each separately.

        Args:
            batch: Two views (B, C, H, W).
            step: Not used.

        Returns:
            The sum of both losses. ``contrast/top1`` is the fraction of queries whose nearest
            candidate is their own key.
        """
        temperature = self.config.temperature
        queries = [self.predictor(self.projector(self.pool(view))) for view in batch.views]
        with torch.no_grad():
            project = self.teacher["projector"]
            keys = [project(self.teacher.pool(view)) for view in batch.views]  # (B, P) each
        losses, fractions = [], []
        for query, key in zip(queries, reversed(keys), strict=True):
            logits, target = contrast_keys(query, key, temperature, key_gradient=False)  # (B, BW)
            # With this factor the size of the gradient hardly depends on the temperature; see
            # algorithm 1 of the paper.
            losses.append(2 * temperature * F.cross_entropy(logits, target))
            fractions.append(top1(logits, target))
        return StepResult(
            losses[0] + losses[1], {"contrast/top1": (fractions[0] + fractions[1]) / 2}
        )

    def before_step(self, step: int) -> None:
        """Remove the gradient of a frozen patch embedding."""
        for name in self.frozen:
            self.model.get_parameter(name).grad = None


def patch_embedding(model: ModelWrapper) -> list[str]:
    """Return the names of the parameters before the blocks, except tokens and positions.

    Raises:
        ConfigError: The blocks cannot be found.
    """
    try:
        factors = layer_decay_factors(model, 1.0, embedding_factor=0.5)
    except ValueError as error:
        raise ConfigError(
            f"method_args.freeze_patch_embed=true needs to know where the blocks begin: {error}"
            "\n  set method_args.freeze_patch_embed=false"
        ) from error
    return [name for name, factor in factors.items() if factor != 1]
