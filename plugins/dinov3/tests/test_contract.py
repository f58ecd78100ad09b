from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)

TRANSFORMER = {"embed_dim": 32, "depth": 2, "num_heads": 2}
# Layer scales as they start would hide the blocks.
CONVNEXT = {"dims": [8, 12, 16, 24], "depths": [1, 2, 1, 1], "ls_init_value": 0.5}
EXAMPLES = [
    ModelExample("vitt16", TRANSFORMER),
    ModelExample("vit7b16-notpretrained", TRANSFORMER),
    ModelExample("convnext-tiny-notpretrained", CONVNEXT),
]


@parametrize_checks([*plugin_checks("dinov3"), *model_library_checks("dinov3", examples=EXAMPLES)])
def test_contract(check):
    check()
