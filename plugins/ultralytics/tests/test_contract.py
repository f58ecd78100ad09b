import pytest

from lightly_core.abilities import InputNormalization, MultiScaleFeatures
from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)

DETECTOR = (MultiScaleFeatures, InputNormalization)
NECK = {"train_neck": True}
EXAMPLES = [ModelExample("yolo11n-cls.yaml", abilities=[InputNormalization])]
MORE_EXAMPLES = [
    ModelExample("yolov8n.yaml", abilities=DETECTOR),
    ModelExample("yolo11n.yaml", NECK, abilities=DETECTOR),
]


@parametrize_checks(
    [*plugin_checks("ultralytics"), *model_library_checks("ultralytics", examples=EXAMPLES)]
)
def test_contract(check):
    check()


@pytest.mark.families
@parametrize_checks(model_library_checks("ultralytics", examples=MORE_EXAMPLES))
def test_contract_of_more_models(check):
    check()


def test_the_librarys_own_examples_are_tried(library):
    assert set(library.examples) <= {model.name for model in (*EXAMPLES, *MORE_EXAMPLES)}
