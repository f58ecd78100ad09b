"""MAE: predict the pixels of hidden patches (He et al. 2022, arXiv:2111.06377).

Shapes: B images on this process, C channels, p side of a patch, S visible and M hidden patches.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.precision import single
from lightly_methods.masked.mae_config import MAEConfig
from lightly_methods.masked.patches import RandomSplit, normalize_patches, patch_pixels, take
from lightly_methods.masked.predictor import PatchPredictor


class MAE(Method[MAEConfig]):
    """Show the backbone a quarter of the patches. A small decoder predicts the others.

    Steps are cheap, as most patches are never computed. It is best when the backbone is fine-tuned
    afterwards. Nearest neighbours and linear classifiers on frozen features are weak, since
    nothing in the loss distinguishes images. https://arxiv.org/abs/2111.06377

    Differs from the paper's code:

    - Hidden patches are listed in the order of their numbers instead of being shuffled and put
      back. The decoder adds the position of each, so no order has to be restored.
    - Only hidden patches pass the decoder's last layer. The others have no loss.
    - The backbone keeps its own positions (learned or rotary) and initial weights. Fixed sine
      positions are in the decoder.
    - All prefix tokens pass the decoder, as the class token does in the paper.
    - The learning rate follows the square root of the batch size, with the paper's value at its
      batch.
    """

    def build(self) -> None:
        """Create the decoder, which is dropped after training."""
        config = self.config
        grid = self.token_model.token_grid(*self.context.image_size)
        self.patch_size = self.token_model.patch_size()
        self.split = RandomSplit(grid, config.mask_ratio)
        self.split.require_both_kinds(self.name)
        self.decoder = PatchPredictor(
            self.model.feature_dim(),
            config.decoder_dim,
            depth=config.decoder_depth,
            num_heads=config.decoder_num_heads,
            grid=grid,
            output_dim=self.patch_size**2 * self.context.input_channels,
        )

    def sample_extras(self) -> RandomSplit:
        """Return the sampler of ``keep`` and ``hidden``, patch numbers (S,) and (M,)."""
        return self.split

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the squared error of the hidden pixels.

        Args:
            batch: One view (B, C, H, W); extras ``keep`` (B, S) and ``hidden`` (B, M).
            step: Not used.

        Returns:
            The loss; about 1 for a prediction of the mean of each patch, with normalised pixels.
        """
        (images,) = batch.views
        keep, hidden = batch.extra("keep"), batch.extra("hidden")
        tokens = self.token_model.forward_tokens(images, keep=keep)
        prediction = self.decoder(tokens, keep, hidden)  # (B, M, p * p * C)
        normalize = self.config.normalize_pixels
        return StepResult(
            hidden_pixel_mse(prediction, images, hidden, self.patch_size, normalize=normalize)
        )


def hidden_pixel_mse(
    prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, *, normalize: bool
) -> Tensor:
    """Return the mean squared error over the pixels of the hidden patches.

    Args:
        prediction: (B, M, p * p * C), in the order of `patch_pixels`.
        images: (B, C, H, W).
        hidden: Patch numbers, (B, M) int64.
        patch_size: p, in pixels.
        normalize: Compare with pixels that have mean 0 and variance 1 in their patch.

    Returns:
        Scalar, at least float32; near 1 for a prediction of 0 and normalised pixels.
    """
    targets = take(patch_pixels(single(images), patch_size), hidden)  # (B, M, p * p * C)
    if normalize:
        targets = normalize_patches(targets)
    return F.mse_loss(single(prediction), targets)
