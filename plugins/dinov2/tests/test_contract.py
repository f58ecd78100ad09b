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

TINY = {"embed_dim": 48, "depth": 2, "num_heads": 2, "img_size": 56}
ABILITIES = (TokenModel, ActivationCheckpointing, InputNormalization)
SMALL, LARGE = (
    ModelExample(name, TINY, image_size=56, capabilities=ABILITIES)
    for name in ("vits14-notpretrained", "vitg14-noreg-notpretrained")
)


@parametrize_checks([*plugin_checks("dinov2"), *model_library_checks("dinov2", examples=[SMALL])])
def test_contract(check):
    check()


@pytest.mark.families
@parametrize_checks(model_library_checks("dinov2", examples=[LARGE]))
def test_contract_without_registers_and_with_gated_layers(check):
    check()
