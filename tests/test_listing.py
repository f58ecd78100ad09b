import pytest

from lightly_core.listing import matching

NAMES = ["torchvision/resnet18", "torchvision/resnet50", "timm/resnet18.a1", "torchvision/vit_b_16"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (None, NAMES),
        ("resnet1*", ["torchvision/resnet18", "timm/resnet18.a1"]),
        ("torchvision/*18", ["torchvision/resnet18"]),
        ("*18", ["torchvision/resnet18"]),
        ("ResNet50", ["torchvision/resnet50"]),
        ("vit", ["torchvision/vit_b_16"]),
        ("torch", [name for name in NAMES if name.startswith("torch")]),
        ("x*", []),
    ],
)
def test_patterns_match_names_with_or_without_their_library(pattern, expected):
    assert matching(NAMES, pattern) == expected


def test_the_name_itself_comes_first():
    names = ["timm/legacy_seresnet18", "timm/resnet18d", "timm/resnet18", "torchvision/resnet18"]
    assert matching(names, "resnet18") == [names[2], names[3], names[1], names[0]]
