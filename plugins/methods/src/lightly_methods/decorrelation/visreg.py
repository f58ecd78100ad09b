"""VISReg as a method of lightly-core."""

from __future__ import annotations

from torch import Tensor

from lightly_methods.decorrelation.lejepa import LeJEPA
from lightly_methods.decorrelation.visreg_config import VISRegConfig
from lightly_methods.decorrelation.visreg_loss import spread


class VISReg(LeJEPA):
    """LeJEPA with a term of its own for the scale, the shape and the centre of the embeddings.

    The test of LeJEPA has hardly a gradient where embeddings have collapsed; a term on their
    standard deviations has. The shape is compared by sorting along random directions.
    https://arxiv.org/abs/2606.02572

    What differs from the paper's code:

    - Quantiles have variance 1, as the embeddings that are compared with them. Those of a small
      batch are else so close together that the shape term draws all images to one point: it does
      with 8 images.
    - Statistics and sorting are over the images of all processes, which share the directions among
      them, so that a run does not depend on the number of processes.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: The batch holds one image only.
    """

    config: VISRegConfig

    def regularization(
        self, embeddings: Tensor, slices: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the three terms of (V, B, P), and these by name."""
        config, terms = self.config, spread(embeddings, slices)
        total = (
            config.scale_weight * terms.scale
            + config.shape_weight * terms.shape
            + config.centre_weight * terms.centre
        )
        return total, terms._asdict()
