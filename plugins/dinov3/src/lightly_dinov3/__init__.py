"""DINOv3's vision transformers and ConvNeXts as backbones for lightly-core."""
