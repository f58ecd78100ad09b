from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)

EXAMPLES = ["yolov8n.yaml", "yolo11n-cls.yaml", ModelExample("yolo11n.yaml", {"train_neck": True})]


@parametrize_checks(
    [*plugin_checks("ultralytics"), *model_library_checks("ultralytics", examples=EXAMPLES)]
)
def test_contract(check):
    check()
