"""MAE as a method of lightly-core."""

from __future__ import annotations

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.parts.masking import hidden_count
from lightly_ssl_methods.common.masks import RandomSplit, check_ratio
from lightly_ssl_methods.common.tokens import as_tokens, extra, only_view, patch_grid
from lightly_ssl_methods.common.transformer import PatchPredictor
from lightly_ssl_methods.mae.config import MAEConfig
from lightly_ssl_methods.mae.loss import hidden_pixel_mse


class MAE(Method[MAEConfig]):
    """Show the backbone a quarter of the patches, and paint the others with a small decoder.

    Cheap, as most patches are never computed, and at its best when the backbone is fine-tuned
    afterwards. Nearest neighbours and linear classifiers on frozen features are weak by nature:
    nothing asks the features to tell images apart. https://arxiv.org/abs/2111.06377

    What differs from the paper's code:

    - Hidden patches come in the order of their numbers instead of being shuffled and put back;
      the decoder gives each its position, so there is no order to restore.
    - Only hidden patches pass the decoder's last layer; the others have no loss.
    - The backbone keeps its own positions (learned, or rotary) and initial weights; fixed sine
      positions are in the decoder.
    - All prefix tokens pass the decoder, as the class token does in the paper.
    - The learning rate follows the root of the batch size, with the paper's value at its batch.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, with patch tokens; the decoder is dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: The backbone has no patch tokens, the image is no whole number of patches, or
            `mask_ratio` leaves none of them visible or none hidden.
    """

    def __init__(self, config: MAEConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        self.grid = patch_grid(model, context, "mae")
        num_patches = self.grid[0] * self.grid[1]
        hidden = hidden_count(config.mask_ratio, num_patches)
        check_ratio("mae", config.mask_ratio, hidden, num_patches)
        self.patch_size = as_tokens(model).patch_size()
        self.decoder = PatchPredictor(
            model.feature_dim(),
            config.decoder_dim,
            depth=config.decoder_depth,
            num_heads=config.decoder_num_heads,
            grid=self.grid,
            output_dim=self.patch_size**2 * context.input_channels,
        )

    def sample_extras(self) -> RandomSplit:
        """Return what draws ``keep`` and ``hidden``, the numbers of visible and other patches."""
        return RandomSplit(self.grid, self.config.mask_ratio)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the squared error of the hidden pixels.

        Args:
            batch: One view (B, C, H, W), and the extras.
            step: Not used.

        Returns:
            The loss; about 1 for a mean grey in each patch, with normalised pixels.
        """
        images = only_view(batch, "mae")
        keep, hidden = extra(batch, "keep"), extra(batch, "hidden")
        tokens = as_tokens(self.model).forward_tokens(images, keep=keep)
        prediction = self.decoder(tokens, keep, hidden)  # (B, M, p * p * C)
        loss = hidden_pixel_mse(
            prediction, images, hidden, self.patch_size, normalize=self.config.normalize_pixels
        )
        return StepResult(loss)
