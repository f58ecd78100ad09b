from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)

TINY = {"embed_dim": 48, "depth": 2, "num_heads": 2, "img_size": 56}
EXAMPLES = [
    ModelExample(name, TINY, image_size=56)
    for name in ("vits14-notpretrained", "vitg14-noreg-notpretrained")
]


@parametrize_checks([*plugin_checks("dinov2"), *model_library_checks("dinov2", examples=EXAMPLES)])
def test_contract(check):
    check()
