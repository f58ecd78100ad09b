"""VICRegL as a method of lightly-core."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from torch import Tensor

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.inputs import check_batch, global_views
from lightly_core.parts.heads import mlp
from lightly_methods.decorrelation.joint import projector
from lightly_methods.decorrelation.vicreg_loss import VICRegTerms
from lightly_methods.decorrelation.vicregl_config import VICRegLConfig
from lightly_methods.decorrelation.vicregl_loss import (
    cell_centres,
    image_terms,
    match_terms,
    mean_terms,
)

Pair: TypeAlias = tuple[int, int]

# More matches than any feature map has positions.
_ALL = 1 << 30


class View(NamedTuple):
    """What is compared of a view.

    Attributes:
        image: Projection of the whole view, (B, P).
        cells: Projections of its N positions, (B, N, Q).
        centres: Where these lie in the image, (B, N, 2).
    """

    image: Tensor
    cells: Tensor
    centres: Tensor


class VICRegL(Method[VICRegLConfig]):
    """VICReg for whole views and, beside that, for positions that show the same.

    Positions of two views belong together where their projections are nearest, and where they show
    the nearest places of the image. Each large view is compared with every other view.
    https://arxiv.org/abs/2210.01571

    What differs from the paper's code:

    - Places are measured in shares of the image's width and height, not in pixels.
    - The loss of positions is the mean over all pairs of views, as in the paper. The authors' code
      keeps that of the last pair and divides it by the number of pairs.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; both projectors are trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, or, in the first step: the
            backbone's feature map has a single position, or nobody tells where views were cut out.
    """

    def __init__(self, config: VICRegLConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "vicregl", per_process=2)
        self.projector = projector(model, config, last_bias=False)
        hidden, output = config.local_hidden_dim, config.local_output_dim
        self.local_projector = mlp(
            [model.feature_dim(), hidden, hidden, output], norm=config.local_norm, last_bias=False
        )

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step.

        Args:
            batch: The large views, then the small ones, with `Batch.crops`.
            step: Not used.

        Returns:
            ``alpha`` times the loss of whole views plus the rest times that of positions.
        """
        num_global = len(global_views(batch, self.context, "vicregl"))
        if len(batch.crops) != len(batch.views):
            raise ConfigError(
                f"method 'vicregl' got the places of {len(batch.crops)} of {len(batch.views)} "
                "views, expected all: positions are matched by where they lie in the image; use "
                "a transform that fills Sample.crops, as the built-in one does"
            )
        views = [self._encode(*one) for one in zip(batch.views, batch.crops, strict=True)]
        # Each large view with every other one.
        pairs = [(i, j) for i in range(num_global) for j in range(len(views)) if i != j]
        image = self._weighted(image_terms([view.image for view in views], pairs))
        count, cells = self.config.num_matches, [view.cells for view in views]
        by_feature = (_ALL, _ALL) if self.config.match_all_features else count
        feature = self._weighted(_match_terms(cells, cells, pairs, by_feature))
        centres = [view.centres for view in views]
        location = self._weighted(_match_terms(cells, centres, pairs, count))
        alpha = self.config.alpha
        return StepResult(
            alpha * image + (1 - alpha) * (feature + location),
            {
                "train_loss/image": image.detach(),
                "train_loss/feature_match": feature.detach(),
                "train_loss/location_match": location.detach(),
            },
        )

    def _encode(self, images: Tensor, crops: Tensor) -> View:
        """Run a view (B, C, H, W) through the network; batch norms see it alone, as in VICReg."""
        output = self.model.forward_features(images)
        height, width = output["features"].shape[2:]
        if height * width < 2:
            raise ConfigError(
                f"method 'vicregl' got a feature map of {height} x {width} positions, expected "
                "more than one: positions are what it compares; use a model with feature maps, or "
                "larger images (transform_args.image_size, local_view.view_size)"
            )
        cells = output["features"].flatten(2).transpose(1, 2)  # (B, N, D)
        projected = self.local_projector(cells.flatten(0, 1))  # (B * N, Q)
        return View(
            image=self.projector(self.model.forward_pool(output)["pooled_features"].flatten(1)),
            cells=projected.reshape(*cells.shape[:2], -1),
            centres=cell_centres(crops.to(images.device), (height, width)),
        )

    def _weighted(self, terms: VICRegTerms) -> Tensor:
        config = self.config
        return terms.weighted(
            config.invariance_weight, config.variance_weight, config.covariance_weight
        )


def _match_terms(
    cells: list[Tensor], keys: list[Tensor], pairs: list[Pair], count: tuple[int, int]
) -> VICRegTerms:
    """Return the mean terms of matches of pairs of views, whose neighbours are found by `keys`."""
    return mean_terms(
        [match_terms((cells[i], cells[j]), (keys[i], keys[j]), count) for i, j in pairs]
    )
