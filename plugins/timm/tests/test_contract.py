import pytest
from circles import first_checks, second_checks

from lightly_core.contracts.capabilities import (
    ActivationCheckpointing,
    InputNormalization,
    TokenModel,
)
from lightly_core.testing import ModelExample, parametrize_checks, plugin_checks

MAPS = (ActivationCheckpointing, InputNormalization)
TOKENS = (TokenModel, *MAPS)


def example(name, capabilities=MAPS, **model_args):
    return ModelExample(name, model_args, capabilities=capabilities)


EXAMPLES = [example("test_resnet"), example("test_vit", TOKENS)]

# Rotary positions. The usual layer scale of 1e-5 would leave differences between tokens too small
# to see.
EVA = {"embed_dim": 24, "depth": 2, "num_heads": 2, "init_values": 1.0}
# Windows with channels last.
SWIN = {"img_size": 64, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
# Registers without class token.
REGISTERS = {"depth": 2, "class_token": False, "reg_tokens": 2, "global_pool": "avg"}
MORE_EXAMPLES = [
    example("test_mambaout"),
    example("vit_small_patch16_dinov3", TOKENS, **EVA),
    example("swin_tiny_patch4_window7_224", **SWIN),
    example("test_vit", TOKENS, **REGISTERS),
    # Another number of classes, and a map that the head widens.
    example("test_convnext", num_classes=7),
    example("test_efficientnet", num_classes=0),
    example("mobilenetv3_small_050"),
    example("test_nfnet"),
]


@pytest.mark.families
@parametrize_checks([*plugin_checks("timm"), *first_checks("timm", EXAMPLES)])
def test_contract(check):
    check()


@pytest.mark.families
@parametrize_checks(second_checks("timm", MORE_EXAMPLES))
def test_contract_of_more_models(check):
    check()


def test_the_librarys_own_examples_are_tried(library):
    assert set(library.examples) <= {model.name for model in (*EXAMPLES, *MORE_EXAMPLES)}
