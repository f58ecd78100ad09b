import copy

import pytest
import torch
from chosen_checks import run_checks
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.testing import TinyConv, parametrize_checks, wrapper_checks


@parametrize_checks(wrapper_checks(TinyConv, image_size=32, channels_factory=TinyConv))
def test_tiny_conv_holds_the_contract(check):
    check()


@parametrize_checks(
    wrapper_checks(lambda: TinyConv(num_input_channels=5), image_size=32, num_input_channels=5)
)
def test_images_have_the_channels_that_were_declared(check):
    check()


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
        self.other = nn.ModuleList(nn.Linear(2, 2) for _ in range(50))


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


class LosesAFlagWhenCopied(TinyConv):
    """Copies of a copy are alike."""

    def __init__(self):
        super().__init__()
        self.double = True

    def __deepcopy__(self, memo):
        twin = TinyConv.__new__(type(self))
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        twin.double = False
        return twin

    def forward_features(self, x):
        return {"features": super().forward_features(x)["features"] * (1 + self.double)}


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


class OneSize(TinyConv):
    def forward_features(self, x):
        if x.shape[2:] != (32, 32):
            raise ValueError(self.message)
        return super().forward_features(x)


class OneSizeSaysSo(OneSize):
    message = "takes images of 32 x 32 pixels"


class OneSizeIsMum(OneSize):
    message = "shape mismatch"


class LosesEdges(TinyConv):
    """Convolutions without padding: at 32 pixels 3 positions, at 64 pixels 7."""

    def __init__(self):
        super().__init__()
        self._model.append(nn.Conv2d(32, 32, kernel_size=2))


def three_or_four_channels(count):
    if count == 1:
        raise ConfigError("this model takes images of 3 or more channels, got 1")
    return TinyConv(count)


def only_three_channels(count):
    if count != 3:
        raise ConfigError("cannot do that")
    return TinyConv()


class LooksAtOneChannel(TinyConv):
    def forward_features(self, x):
        first = torch.zeros(x.shape[1])
        first[0] = 1
        return super().forward_features(x * first[:, None, None])


@pytest.mark.parametrize("wrapper", [OneSizeSaysSo, LosesEdges])
def test_a_size_that_cannot_be_doubled_is_in_order_where_it_is_said(wrapper):
    run_checks(wrapper_checks(wrapper, image_size=32), "W2")


def test_a_number_of_channels_may_be_refused_with_a_clear_error():
    run_checks(wrapper_checks(TinyConv, channels_factory=three_or_four_channels), "W12")


def test_a_factory_that_fails_lets_the_tests_be_collected():
    def broken():
        raise RuntimeError("no such layer")

    checks = wrapper_checks(broken)
    with pytest.raises(RuntimeError, match="no such layer"):
        checks[0]()


@parametrize_checks(wrapper_checks(WithClassifier, image_size=32))
def test_a_classifier_behind_the_features_is_in_order(check):
    check()


FAULTS = [
    ("W1", WrongWidth, "feature_dim"),
    ("W2", FixedMap, r"gave \(4, 4\) positions, expected \(8, 8\)"),
    ("W2", OneSizeIsMum, "does not name the supported size 32: shape mismatch"),
    ("W3", FlatPool, r"expected \(2, 32, 1, 1\)"),
    ("W4", MostlyUnused, r"not on .*other\.0"),
    ("W4", Detached, "the images get no gradient"),
    ("W4", OnlyUsedInEval, r"in train mode for \['scale'\]"),
    ("W5", Noisy, "differs"),
    ("W6", HiddenState, "after loading the state dict"),
    ("W7", SharedByCopies, "deep copy was changed"),
    ("W7", LosesAFlagWhenCopied, "the deep copy's output"),
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
    with pytest.raises(Exception, match=message):
        run_checks(wrapper_checks(wrapper, image_size=32), code)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda count: TinyConv(), "to have 3 channels, but got 1 channels"),
        (LooksAtOneChannel, r"of 4 input channels, these have no effect: \[1, 2, 3\]"),
        (only_three_channels, "for 1 input channels does not name them: cannot do that"),
    ],
)
def test_w12_finds_the_fault(factory, message):
    checks = wrapper_checks(TinyConv, image_size=32, channels_factory=factory)
    with pytest.raises(Exception, match=message):
        run_checks(checks, "W12")


class CannotBeCopied(TinyConv):
    def __deepcopy__(self, memo):
        raise TypeError("no copies")


@pytest.mark.parametrize("wrapper", [CannotBeCopied, SharedByCopies])
def test_without_copies_a_check_that_changes_the_wrapper_builds_its_own(wrapper):
    checks = {check.code: check for check in wrapper_checks(wrapper, image_size=32)}
    with pytest.raises(Exception, match=r"no copies|deep copy was changed"):
        checks.pop("W7")()
    for check in (*checks.values(), *checks.values()):
        check()


def test_every_check_is_shown_to_find_a_fault():
    found = {code for code, _, _ in FAULTS}
    assert found == {check.code for check in wrapper_checks(TinyConv)}
    assert {*found, "W12"} == {f"W{number}" for number in range(1, 14)}
