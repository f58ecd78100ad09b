import pytest

from lightly_core.contracts.capabilities import (
    ActivationCheckpointing,
    InputNormalization,
    TokenModel,
)
from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)

MAPS = (ActivationCheckpointing, InputNormalization)
TOKENS = (TokenModel, *MAPS)
# Layer scales as they start would hide the blocks.
TRANSFORMER = {"embed_dim": 32, "depth": 2, "num_heads": 2, "init_values": 1.0}
CONVNEXT = {"dims": [8, 12, 16, 24], "depths": [1, 2, 1, 1], "ls_init_value": 0.5}
EXAMPLES = [ModelExample("vitt16", TRANSFORMER, capabilities=TOKENS)]
MORE_EXAMPLES = [
    ModelExample("vit7b16-notpretrained", TRANSFORMER, capabilities=TOKENS),
    ModelExample("convnext-tiny-notpretrained", CONVNEXT, capabilities=MAPS),
]


@parametrize_checks([*plugin_checks("dinov3"), *model_library_checks("dinov3", examples=EXAMPLES)])
def test_contract(check):
    check()


@pytest.mark.families
@parametrize_checks(model_library_checks("dinov3", examples=MORE_EXAMPLES))
def test_contract_of_the_other_kinds(check):
    check()
