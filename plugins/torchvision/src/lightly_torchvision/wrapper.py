"""A torchvision model as a backbone."""

from __future__ import annotations

from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import per_channel
from lightly_torchvision.anatomy import examine

# torchvision.transforms._presets.ImageClassification
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class TorchvisionWrapper(ModelWrapper):
    """Give a classification model of torchvision the interface of a backbone.

    Features, dimension and pooling are found in the model's forward pass. The features are the last
    map (or the tokens) before the classifier. Pooling is that of the model: average and norm in
    ConvNeXt, the class token in ViT. Where the model has no pooling of
    its own (AlexNet, VGG, SqueezeNet) it is the mean over all positions.

    Shapes: B images, C channels, D = `feature_dim()`, h and w feature positions.

    Args:
        model: The model; it is not changed, and its parameters are those of the wrapper.
        num_input_channels: C.

    Raises:
        ConfigError: The model has no features that can be found.
    """

    def __init__(self, model: nn.Module, num_input_channels: int = 3) -> None:
        super().__init__()
        self.model = model
        self._num_input_channels = num_input_channels
        self._anatomy = examine(model, num_input_channels)

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w), and ``cls_token`` (B, D) for models with a class token.

        Raises:
            ValueError: The model takes images of one size only, and these have another.
        """
        anatomy = self._anatomy
        height, width = x.shape[-2:]
        if not anatomy.any_size and (height, width) != (anatomy.size, anatomy.size):
            raise ValueError(
                f"{type(self.model).__name__} as built here takes images of {anatomy.size} x "
                f"{anatomy.size} pixels, got {height} x {width}; set "
                f"transform_args.image_size={anatomy.size}, or build the model for another size "
                "(model_args.image_size for ViT, model_args.input_size for MaxVit)"
            )
        features = anatomy.features[self.model.training](self.model, x)
        if anatomy.layout == "NCHW":
            return {"features": features}
        if anatomy.layout == "NHWC":
            return {"features": features.permute(0, 3, 1, 2)}  # (B, D, h, w)
        rows = height * anatomy.grid[0] // anatomy.size
        patches = features[:, anatomy.num_prefix_tokens :].transpose(1, 2)  # (B, D, h * w)
        result = {"features": patches.reshape(*patches.shape[:2], rows, -1)}  # (B, D, h, w)
        if anatomy.num_prefix_tokens and anatomy.pool is not None:
            token = anatomy.pool[self.model.training](self.model, features)
            result["cls_token"] = token.flatten(1)  # (B, D)
        return result

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pool what `forward_features` returned.

        Args:
            x: ``features`` (B, D, h, w) and, where there is one, ``cls_token`` (B, D).

        Returns:
            ``pooled_features`` (B, D, 1, 1): the class token if given, else the model's own
            pooling, else the mean.
        """
        anatomy = self._anatomy
        if "cls_token" in x:
            pooled = x["cls_token"]
        elif anatomy.pool is None or anatomy.layout == "tokens":
            pooled = x["features"].mean(dim=(2, 3))
        else:
            features = x["features"]
            if anatomy.layout == "NHWC":
                features = features.permute(0, 2, 3, 1)  # (B, h, w, D)
            pooled = anatomy.pool[self.model.training](self.model, features)
        return {"pooled_features": pooled.flatten(1)[:, :, None, None]}  # (B, D, 1, 1)

    def feature_dim(self) -> int:
        """Return D."""
        return self._anatomy.dim

    def get_model(self) -> nn.Module:
        """Return the torchvision model."""
        return self.model

    def input_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return ImageNet's mean and standard deviation, as for all weights of torchvision."""
        channels = self._num_input_channels
        return per_channel(_MEAN, channels), per_channel(_STD, channels)
