from pathlib import Path

import pytest

from lightly_core.contracts.capabilities import InputNormalization, MultiScaleFeatures
from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)
from lightly_ultralytics.upstream import upstream

DETECTOR = (MultiScaleFeatures, InputNormalization)
NECK = {"train_neck": True}
EXAMPLES = [ModelExample("yolo11n-cls.yaml", capabilities=[InputNormalization])]
MORE_EXAMPLES = [
    ModelExample("yolov8n.yaml", capabilities=DETECTOR),
    ModelExample("yolo11n.yaml", NECK, capabilities=DETECTOR),
]


@pytest.mark.families
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


def test_settings_are_written_into_a_folder_of_the_tests(tmp_path_factory):
    # Whichever test has imported it first: see conftest.py of the repository.
    folder = Path(upstream("ultralytics.utils").USER_CONFIG_DIR)
    assert tmp_path_factory.getbasetemp() in folder.parents
