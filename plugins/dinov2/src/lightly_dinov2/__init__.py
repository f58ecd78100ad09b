"""DINOv2's vision transformers as backbones for lightly-core."""
