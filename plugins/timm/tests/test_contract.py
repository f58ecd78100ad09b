import pytest

from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)
from lightly_timm.library import TimmLibrary

# Beside the library's own examples: rotary positions, and windows with channels last. The usual
# layer scale of 1e-5 would leave differences between tokens too small to see.
EVA = {"embed_dim": 24, "depth": 2, "num_heads": 2, "init_values": 1.0}
SWIN = {"img_size": 64, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
EXAMPLES = [
    *TimmLibrary.examples,
    ModelExample("vit_small_patch16_dinov3", EVA),
    ModelExample("swin_tiny_patch4_window7_224", SWIN),
]

# Registers without class token, another number of classes, a map that the head widens.
REGISTERS = {"depth": 2, "class_token": False, "reg_tokens": 2, "global_pool": "avg"}
MORE_EXAMPLES = [
    ModelExample("test_vit", REGISTERS),
    ModelExample("test_convnext", {"num_classes": 7}),
    ModelExample("test_efficientnet", {"num_classes": 0}),
    ModelExample("mobilenetv3_small_050"),
    ModelExample("test_nfnet"),
]


@parametrize_checks([*plugin_checks("timm"), *model_library_checks("timm", examples=EXAMPLES)])
def test_contract(check):
    check()


@pytest.mark.slow
@parametrize_checks(model_library_checks("timm", examples=MORE_EXAMPLES))
def test_contract_of_more_models(check):
    check()
