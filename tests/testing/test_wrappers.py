import copy

import pytest
import torch
from torch import nn

from lightly_core.testing import TinyConv, parametrize_checks, wrapper_checks


@parametrize_checks(wrapper_checks(TinyConv, image_size=32))
def test_tiny_conv_holds_the_contract(check):
    check()


@parametrize_checks(
    wrapper_checks(lambda: TinyConv(num_input_channels=5), image_size=32, num_input_channels=5)
)
def test_images_have_the_channels_that_were_declared(check):
    check()


def test_tiny_conv_is_tiny():
    assert sum(parameter.numel() for parameter in TinyConv().parameters()) < 10_000


class WrongWidth(TinyConv):
    def feature_dim(self):
        return 31


class FixedMap(TinyConv):
    def forward_features(self, x):
        features = super().forward_features(x)["features"]
        return {"features": nn.functional.adaptive_avg_pool2d(features, 4)}


class FlatPool(TinyConv):
    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean(dim=(2, 3))}


class WithClassifier(TinyConv):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(32, 10)


class MostlyUnused(TinyConv):
    def __init__(self):
        super().__init__()
        self.other = nn.ModuleList(nn.Linear(2, 2) for _ in range(10))


class Detached(WithClassifier):
    def __init__(self):
        super().__init__()
        self.scales = nn.ParameterList(torch.ones(1) for _ in range(20))

    def forward_features(self, x):
        features = super().forward_features(x)["features"].detach()
        return {"features": features * torch.cat(list(self.scales)).sum()}


class OnlyUsedInEval(TinyConv):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward_features(self, x):
        features = super().forward_features(x)["features"]
        return {"features": features if self.training else features * self.scale}


class Noisy(TinyConv):
    def forward_features(self, x):
        return super().forward_features(x + torch.randn_like(x))


class HiddenState(TinyConv):
    """Depends on a number that the state dict does not hold."""

    def __init__(self):
        super().__init__()
        self.offset = torch.rand(1)

    def forward_features(self, x):
        return {"features": super().forward_features(x)["features"] + self.offset}


class SharedByCopies(TinyConv):
    def __deepcopy__(self, memo):
        return copy.copy(self)


class NotPickled(TinyConv):
    def __init__(self):
        super().__init__()
        self.hook = lambda: None


class OtherModel(TinyConv):
    def __init__(self):
        super().__init__()
        self.unrelated = [copy.deepcopy(self._model)]

    def get_model(self):
        return self.unrelated[0]


class SwitchesMode(TinyConv):
    def forward_features(self, x):
        self._model.eval()
        return super().forward_features(x)


class WritesIntoImages(TinyConv):
    def forward_features(self, x):
        return super().forward_features(x.mul_(2))


class OverflowsInLowPrecision(TinyConv):
    def forward_features(self, x):
        features = super().forward_features(x)["features"]
        return {"features": features if features.dtype == torch.float32 else features / 0}


class ObscureForOne(TinyConv):
    def forward_features(self, x):
        if len(x) == 1:
            raise RuntimeError("stack trace only")
        return super().forward_features(x)


@parametrize_checks(wrapper_checks(WithClassifier, image_size=32))
def test_a_classifier_behind_the_features_is_in_order(check):
    check()


FAULTS = [
    ("W1", WrongWidth, "feature_dim"),
    ("W2", FixedMap, r"gave \(4, 4\) positions, expected \(8, 8\)"),
    ("W3", FlatPool, r"expected \(2, 32, 1, 1\)"),
    ("W4", MostlyUnused, r"not on .*other\.0"),
    ("W4", Detached, "at the images"),
    ("W4", OnlyUsedInEval, r"in train mode for \['scale'\]"),
    ("W5", Noisy, "differs"),
    ("W6", HiddenState, "after loading the state dict"),
    ("W7", SharedByCopies, "deep copy was changed"),
    ("W8", NotPickled, "pickle"),
    ("W9", OtherModel, "differs"),
    ("W10", SwitchesMode, "train or eval mode"),
    ("W10", Noisy, "random numbers"),
    ("W10", WritesIntoImages, "in place"),
    ("W11", OverflowsInLowPrecision, "not finite"),
    ("W13", ObscureForOne, "stack trace"),
]


@pytest.mark.parametrize(("code", "wrapper", "message"), FAULTS)
def test_check_finds_the_fault(code, wrapper, message):
    checks = {check.code: check for check in wrapper_checks(wrapper, image_size=32)}
    with pytest.raises(Exception, match=message):
        checks[code]()


def test_every_check_is_shown_to_find_a_fault():
    found = {code for code, _, _ in FAULTS}
    assert found == {check.code for check in wrapper_checks(TinyConv)}
