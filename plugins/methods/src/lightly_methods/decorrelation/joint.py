"""What methods share that compare the projections of several views.

V views, B images on this process, D features, P channels of the projection.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.inputs import check_batch, global_views, pooled_features
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import forward_by_size
from lightly_methods.decorrelation.joint_config import JointConfig


class ProjectorOptions(Protocol):
    """The options of a projector, see `lightly_methods.decorrelation.joint_config`."""

    @property
    def hidden_dim(self) -> int: ...  # noqa: D102
    @property
    def output_dim(self) -> int: ...  # noqa: D102
    @property
    def num_layers(self) -> int: ...  # noqa: D102


def projector(model: ModelWrapper, options: ProjectorOptions, *, last_bias: bool) -> nn.Sequential:
    """Build a projector (B, D) to (B, P) with batch norms behind its hidden layers."""
    hidden = [options.hidden_dim] * (options.num_layers - 1)
    widths = [model.feature_dim(), *hidden, options.output_dim]
    return mlp(widths, norm="batch", last_bias=last_bias)


def all_views(batch: Batch, context: RunContext, method: str, most: int | None) -> list[Tensor]:
    """Return the views that are compared, small ones too, V tensors (B, C, H, W).

    Args:
        batch: Global views first.
        context: Facts of the run.
        method: The method's name, for errors.
        most: Views that the method can compare; None: any number.

    Raises:
        ConfigError: There are fewer than two views, or more than `most`.
    """
    global_views(batch, context, method)
    if most is not None and len(batch.views) > most:
        raise ConfigError(
            f"method '{method}' got {len(batch.views)} views of an image, expected {most}; set "
            f"transform_args.num_views={most} and transform_args.local_view=null"
        )
    return batch.views


def project(
    backbone: nn.Module | ModelWrapper,
    head: Callable[[Tensor], Tensor],
    views: Sequence[Tensor],
    *,
    together: bool = False,
) -> Tensor:
    """Return the projections (V, B, P) of views (B, C, H, W).

    Args:
        backbone: A `ModelWrapper`.
        head: From features (R, D) to projections (R, P).
        views: Of any sizes.
        together: Views of one size take one pass, and batch norms see them as one batch; else each
            view takes its own, as in the code of most papers.
    """

    def forward(images: Tensor) -> Tensor:
        return head(pooled_features(backbone, images))

    return torch.stack(
        forward_by_size(forward, views) if together else [forward(view) for view in views]
    )


class JointMethod(Method[JointConfig]):
    """Base of methods with one network, a projector, and a loss on the projections of the views.

    A subclass says how it is called and writes `compare`.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process: batch norms, and what keeps
            embeddings from collapsing, need others to compare with.
    """

    #: As users type it.
    name: ClassVar[str]
    #: Whether the projector's last layer has a bias; none where the loss takes the mean away.
    last_bias: ClassVar[bool] = False
    #: See `project`.
    views_together: ClassVar[bool] = False

    def __init__(self, config: JointConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, self.name, per_process=2)
        self.projector = projector(model, config, last_bias=self.last_bias)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Project all views and compare them.

        Args:
            batch: ``views`` holds V tensors (B, C, H, W).
            step: Optimizer steps taken so far.

        Returns:
            What `compare` returned.
        """
        views = all_views(batch, self.context, self.name, None)
        projections = project(self.model, self.projector, views, together=self.views_together)
        return self.compare(projections, step)

    @abstractmethod
    def compare(self, projections: Tensor, step: int) -> StepResult:
        """Return the loss of one step.

        Args:
            projections: (V, B, P); row i of each view is image i.
            step: Optimizer steps taken so far.
        """
