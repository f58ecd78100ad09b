"""MoCo v3 as a method of lightly-core."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.errors import ConfigError
from lightly_core.methods.inputs import as_module, check_batch, pooled_features
from lightly_core.methods.requirements import require_capability
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.parts.contrast import contrast_keys, top1
from lightly_core.parts.heads import mlp
from lightly_core.parts.layer_decay import layer_decay_factors
from lightly_methods.contrastive.mocov3_config import MoCoV3Config
from lightly_methods.contrastive.mocov3_loss import scaled_cross_entropy
from lightly_methods.contrastive.views import two_views


class MoCoV3(TeacherMethod[MoCoV3Config]):
    """Find the key of an image's other view among the keys of the batch.

    As MoCo v2 with a large batch in place of the queue, and with a predictor behind the queries.
    https://arxiv.org/abs/2104.02057

    What differs from the paper's code:

    - The momentum starts lower in short runs.
    - Positions and the number of heads of a transformer are the backbone's own.

    Args:
        config: Options of the method; `MoCoV3Config` names the paper's for transformers.
        model: Backbone to pretrain; projector and predictor are trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: The batch is too small for batch norm, there are not two views, or the patch
            embedding is to be frozen and cannot be found.
    """

    def __init__(self, config: MoCoV3Config, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "mocov3", per_process=2)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [model.feature_dim(), *hidden, config.output_dim], norm="batch", last_norm="no_affine"
        )
        self.predictor = mlp(
            [config.output_dim, config.predictor_hidden_dim, config.output_dim],
            norm="batch",
            last_norm="no_affine" if config.predictor_norm else False,
        )
        self.embedding = _patch_embedding(model) if config.freeze_patch_embed else []
        # As in the paper's code the keys' batch norms use the batches that they see.
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the key encoder is a copy of: all but the predictor."""
        return {"backbone": as_module(self.model), "projector": self.projector}

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Let each view look for the key of the other one.

        Args:
            batch: ``views`` holds two tensors (B, C, H, W).
            step: Optimizer steps taken so far.

        Returns:
            The sum of both losses, and as ``contrast/top1`` the share of queries, in [0, 1], that
            are most similar to their own key.
        """
        temperature = self.config.temperature
        views = two_views(batch, "mocov3")
        # One pass a view: batch norms do not see the two views of an image together.
        queries = [self.predictor(_encode(self.student(), view)) for view in views]  # (B, P) each
        with torch.no_grad():
            keys = [_encode(self.teacher, view) for view in views]  # (B, P) each
        found = [
            contrast_keys(query, key, temperature, key_gradient=False)
            for query, key in zip(queries, reversed(keys), strict=True)
        ]
        losses = [scaled_cross_entropy(*logits, temperature) for logits in found]
        shares = [top1(*logits) for logits in found]
        return StepResult(
            losses[0] + losses[1],
            {
                "contrast/top1": (shares[0] + shares[1]) / 2,
                "schedule/teacher_momentum": self.momentum(step),
            },
        )

    def before_step(self, step: int) -> None:
        """Take the gradient from a patch embedding that stays as it is."""
        for name in self.embedding:
            as_module(self.model).get_parameter(name).grad = None


def _encode(network: Mapping[str, nn.Module] | nn.ModuleDict, images: Tensor) -> Tensor:
    """Return projections (B, P) of images (B, C, H, W)."""
    projected: Tensor = network["projector"](pooled_features(network["backbone"], images))
    return projected


def _patch_embedding(model: ModelWrapper) -> list[str]:
    """Return the names of the parameters in front of the blocks, without tokens and positions."""
    require_capability(model, TokenModel, needed_by="method_args.freeze_patch_embed=true")
    try:
        factors = layer_decay_factors(as_module(model), 1.0, embedding_factor=0.5)
    except ValueError as error:
        raise ConfigError(
            f"method_args.freeze_patch_embed=true needs to know where the blocks begin: {error}"
            "\n  set method_args.freeze_patch_embed=false"
        ) from error
    return [name for name, factor in factors.items() if factor != 1]
