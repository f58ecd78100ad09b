"""torchvision's classification models as backbones for lightly-core."""
