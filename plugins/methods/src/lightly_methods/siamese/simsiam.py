"""SimSiam as a method of lightly-core."""

from __future__ import annotations

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.methods.groups import all_decayed, apart
from lightly_core.methods.inputs import check_batch, global_views, pooled_features
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.heads import mlp
from lightly_core.parts.spread import direction_std
from lightly_methods.siamese.simsiam_config import SimSiamConfig
from lightly_methods.siamese.simsiam_loss import siamese_loss


class SimSiam(Method[SimSiamConfig]):
    """Let two views of an image predict each other through one network.

    What is predicted gets no gradient; without this all images would soon look alike. Batches of
    256 to 512 images are enough, more than 1024 make it worse. Watch ``projection/std``: it stays
    near 1 and falls to 0 in a collapse. https://arxiv.org/abs/2011.10566

    As in the paper's code, weight decay applies to biases and norms too, and by default the
    predictor keeps its learning rate: no warm-up and no decay.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; projector and predictor are dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two views of an image or two images on a process.
    """

    def __init__(self, config: SimSiamConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, self.name, per_process=2)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [model.feature_dim(), *hidden, config.output_dim], norm="batch", last_norm="no_affine"
        )
        self.predictor = mlp(
            [config.output_dim, config.predictor_hidden_dim, config.output_dim], norm="batch"
        )

    @property
    def name(self) -> str:
        """As users type the method."""
        return type(self).__name__.lower()

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything, and keep the predictor's learning rate constant, if so wanted."""
        constant = self.config.predictor_lr == "constant"
        return apart(all_decayed(self), "predictor", self.predictor, constant_lr=constant)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step; each view goes through the network alone.

        Args:
            batch: V views (B, C, H, W).
            step: Not used.

        Returns:
            The negative mean cosine, in [-1, 1].
        """
        views = global_views(batch, self.context, self.name)
        projections = [self.projector(pooled_features(self.model, view)) for view in views]
        predictions = [self.predictor(z) for z in projections]  # V times (B, P)
        return StepResult(
            siamese_loss(predictions, projections),
            {"projection/std": direction_std(projections[0])},
        )
