"""timm's models as backbones for lightly-core."""
