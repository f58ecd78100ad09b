"""VICRegL: VICReg of whole views and of matched positions (Bardes et al. 2022, arXiv:2210.01571).

Shapes: B images on this process, D features, N = h * w positions of a view's feature map,
P = ``output_dim``, Q = ``local_output_dim``.
"""

from __future__ import annotations

from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.errors import ConfigError
from lightly_core.parts.heads import apply_to_views, mlp
from lightly_methods.decorrelation.vicreg import VICRegTerms
from lightly_methods.decorrelation.vicregl_config import VICRegLConfig
from lightly_methods.decorrelation.vicregl_loss import global_terms, local_terms, locations

# More matches than any feature map has positions.
_ALL = 1 << 30


class VICRegL(Method[VICRegLConfig]):
    """VICReg for whole views and for positions of their feature maps.

    Positions of two views are matched where their embeddings are nearest, and where they show the
    nearest locations of the image. Each global view is compared with every other view.
    https://arxiv.org/abs/2210.01571

    Differs from the authors' code:

    - Locations are fractions of the image's width and height, not pixels.
    - The loss of positions is the mean over all pairs of views, as in the paper. The authors' code
      keeps that of the last pair and divides it by the number of pairs.
    """

    def build(self) -> None:
        """Create the projectors of views and of positions, which are dropped after training."""
        config, dim = self.config, self.model.feature_dim()
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp([dim, *hidden, config.output_dim], norm="batch", last_bias=False)
        local_dims = [dim, *[config.local_hidden_dim] * 2, config.local_output_dim]
        self.local_projector = mlp(local_dims, norm=config.local_norm, last_bias=False)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute ``alpha`` times the loss of views plus the rest times that of positions.

        Args:
            batch: G global views, then local ones, (B, C, H, W) each, and their `Batch.crops`.
            step: Not used.

        Raises:
            ConfigError: The backbone's feature map has a single position.
        """
        config = self.config
        outputs = [self.features(*view) for view in zip(batch.views, batch.crops, strict=True)]
        pooled, features, places = zip(*outputs, strict=True)
        embeddings = apply_to_views(self.projector, pooled)  # (B, P) each
        local_embeddings = [
            local.reshape(*view.shape[:2], -1)  # (B, N, Q)
            for local, view in zip(
                apply_to_views(self.local_projector, [view.flatten(0, 1) for view in features]),
                features,
                strict=True,
            )
        ]
        num_global = len(batch.global_views)
        pairs = [(i, j) for i in range(num_global) for j in range(len(pooled)) if i != j]
        image = self.weighted(global_terms(embeddings, pairs))
        by_feature = (_ALL, _ALL) if config.match_all_features else config.num_matches
        feature = self.weighted(local_terms(local_embeddings, local_embeddings, pairs, by_feature))
        location = self.weighted(local_terms(local_embeddings, places, pairs, config.num_matches))
        return StepResult(
            config.alpha * image + (1 - config.alpha) * (feature + location),
            {
                "train_loss/image": image.detach(),
                "train_loss/feature_match": feature.detach(),
                "train_loss/location_match": location.detach(),
            },
        )

    def features(self, images: Tensor, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run a view (B, C, H, W), whose crops are (B, 6), through the backbone.

        Returns:
            The pooled features (B, D), those of the positions (B, N, D), and the locations of these
            in the image (B, N, 2).
        """
        output = self.model.forward_features(images)
        height, width = output["features"].shape[2:]
        if height * width < 2:
            raise ConfigError(
                f"method 'vicregl' got a feature map of {height} x {width} positions, expected "
                "more than one: positions are what it compares; use a model with feature maps, or "
                "larger images (transform_args.image_size, local_view.view_size)"
            )
        return (
            self.model.forward_pool(output)["pooled_features"].flatten(1),
            output["features"].flatten(2).transpose(1, 2),
            locations(crops.to(images.device), (height, width)),
        )

    def weighted(self, terms: VICRegTerms) -> Tensor:
        """Return the loss of VICReg."""
        config = self.config
        return terms.weighted(
            config.invariance_weight, config.variance_weight, config.covariance_weight
        )
