from lightly_core.testing import (
    ModelExample,
    model_library_checks,
    parametrize_checks,
    plugin_checks,
)
from lightly_torchvision.library import TorchvisionLibrary

# Beside the library's own examples, a model with an argument of ours.
EXAMPLES = [
    *TorchvisionLibrary.examples,
    ModelExample("resnet18", {"small_stem": True, "num_classes": 7}, image_size=32),
]


@parametrize_checks(
    [*plugin_checks("torchvision"), *model_library_checks("torchvision", examples=EXAMPLES)]
)
def test_contract(check):
    check()
