from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar, Literal

import pytest
import torch
from attrs import define, field
from chosen_checks import run_checks
from torch import nn

from lightly_core.config.options.augmentations import LocalViewArgs
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.requires import Requires, at_least, exactly
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.contracts import Method, StepResult
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.errors import ConfigError
from lightly_core.methods.requirements import require_capability
from lightly_core.testing import (
    MethodCase,
    TinyConv,
    TinyTokens,
    method_checks,
    method_class_checks,
    methods,
    parametrize_checks,
)


@define(frozen=True, kw_only=True)
class AlignConfig(MethodConfig):
    requires: ClassVar = Requires(global_views=exactly(2), images_per_process=2)

    width: int = field(default=8, metadata={"help": "width of the projector"})

    views = TransformArgs(num_views=2)


class Align(Method):
    """Two views to the same place, different images apart; with an EMA teacher."""

    def build(self):
        self.head = nn.Linear(self.model.feature_dim(), self.config.width)
        self.teacher = nn.Linear(self.model.feature_dim(), self.config.width)
        self.teacher.load_state_dict(self.head.state_dict())
        self.teacher.requires_grad_(False)

    def training_step(self, batch, step):
        first, second = (self.pool(view) for view in batch.views)
        distance = (self.head(first) - self.teacher(second)).square().mean()
        spread = self.head(first).std(dim=0).mean()
        loss = distance - spread
        return StepResult(loss, {"train_loss/distance": distance.detach(), "schedule/one": 1.0})

    def after_step(self, step):
        self.teacher.weight.lerp_(self.head.weight, 0.1)
        self.teacher.bias.lerp_(self.head.bias, 0.1)


@parametrize_checks(method_class_checks(MethodCase(Align, AlignConfig)))
def test_a_sound_method_holds_the_contract(check):
    check()


def with_loss(change):
    """The method with another loss."""

    class Changed(Align):
        def training_step(self, batch, step):
            return StepResult(change(super().training_step(batch, step).loss))

    return Changed


NotAScalar = with_loss(lambda loss: loss[None])
DividesByZero = with_loss(lambda loss: loss / 0)
WithoutGradient = with_loss(lambda loss: loss.detach())
GENERATOR = torch.Generator().manual_seed(0)
OwnRandomness = with_loss(lambda loss: loss * (1 + torch.rand((), generator=GENERATOR)))
NeverLearns = with_loss(lambda loss: 2 * loss.detach() - loss)  # the gradient leads uphill


class ForgetsTheHead(Align):
    def parameter_groups(self):
        groups = super().parameter_groups()
        head = {id(parameter) for parameter in self.head.parameters()}
        for group in groups:
            group.parameters = [p for p in group.parameters if id(p) not in head]
        return groups


class GroupsTwice(Align):
    def parameter_groups(self):
        groups = super().parameter_groups()
        return [*groups, groups[0]]


class GroupsAStranger(Align):
    def parameter_groups(self):
        groups = super().parameter_groups()
        groups[0].parameters = [*groups[0].parameters, nn.Parameter(torch.ones(1))]
        return groups


class TeacherGetsAGradient(Align):
    def training_step(self, batch, step):
        self.teacher.requires_grad_(True)
        return super().training_step(batch, step)


class TeacherMovesInTheStep(Align):
    def training_step(self, batch, step):
        with torch.no_grad():
            self.teacher.weight.mul_(0.9)
        return super().training_step(batch, step)


class CountsOutsideTheState(Align):
    scale = 1.0

    def training_step(self, batch, step):
        self.scale *= 0.5
        return StepResult(super().training_step(batch, step).loss * self.scale)


class ChangingMetrics(Align):
    def training_step(self, batch, step):
        return StepResult(super().training_step(batch, step).loss, {f"at_{step}": 0.0})


class AttachedMetric(Align):
    def training_step(self, batch, step):
        loss = super().training_step(batch, step).loss
        return StepResult(loss, {"train_loss/all": loss})


class WaitsForTheDevice(Align):
    def training_step(self, batch, step):
        loss = super().training_step(batch, step).loss
        return StepResult(loss, {"train_loss/all": loss.item()})


class MakesTensorsOnTheCpu(Align):
    def training_step(self, batch, step):
        pooled = self.pool(batch.views[0])
        return StepResult((pooled @ torch.eye(pooled.shape[1])).mean())


class SmallViewsOnly(Align):
    def training_step(self, batch, step):
        if batch.views[0].shape[2] > 100:
            raise RuntimeError("no position for this place")
        return super().training_step(batch, step)


class NeedsClassToken(Align):
    def pool(self, view):
        return self.model.forward_features(view)["cls_token"]


class ThirtyTwoWideOnly(Align):
    def build(self):
        super().build()
        self.head = nn.Linear(32, self.config.width)


class NeedsThreeImages(Align):
    def training_step(self, batch, step):
        if len(batch.views[0]) < 3:
            raise RuntimeError("no third image")
        return super().training_step(batch, step)


FAULTS = [
    ("M1", NotAScalar, r"shape \(1,\)"),
    ("M1", DividesByZero, "the loss is -?inf, expected a finite number"),
    ("M1", WithoutGradient, "the loss has no gradient"),
    ("M2", NeverLearns, "expected a lower loss"),
    ("M3", ForgetsTheHead, "'head.weight': 0"),
    ("M3", GroupsTwice, "'head.weight': 2"),
    ("M3", GroupsAStranger, "1 parameters in groups are not parameters of the method"),
    ("M4", TeacherGetsAGradient, "'teacher.weight' is frozen and got a gradient"),
    ("M4", TeacherMovesInTheStep, "'teacher.weight' is frozen and changed"),
    ("M5", CountsOutsideTheState, "after saving and loading"),
    ("M6", OwnRandomness, "same seed"),
    ("M7", ChangingMetrics, r"changed from \['at_0'\] to \['at_1'\]"),
    ("M7", AttachedMetric, "not detached"),
    ("M10", WaitsForTheDevice, "meta"),
    ("M8", SmallViewsOnly, "no position for this place"),
    ("M9", NeedsClassToken, "with the backbone TinyConv: KeyError: 'cls_token'"),
    ("M9", ThirtyTwoWideOnly, "with the backbone TinyTokens: RuntimeError"),
    ("M10", MakesTensorsOnTheCpu, r"got tensors on \['cpu', 'meta'\]"),
    ("M11", NeedsThreeImages, "with 2 images, which `requires` allows, .* no third image"),
]


@pytest.mark.parametrize(("code", "method", "message"), FAULTS)
def test_check_finds_the_fault(code, method, message):
    with pytest.raises(Exception, match=message):
        run_checks(method_class_checks(MethodCase(method, AlignConfig)), code)


@define(frozen=True, kw_only=True)
class CropsConfig(MethodConfig):
    @classmethod
    def default_transform(cls):
        return MultiCropTransformArgs(local_view=LocalViewArgs(num_views=3))


def test_views_are_as_many_as_the_transform_declares_and_local_ones_smaller():
    batch = MethodCase(Align, CropsConfig, batch_size=4).batch()
    assert [tuple(view.shape) for view in batch.views] == [(4, 3, 32, 32)] * 2 + [
        (4, 3, 16, 16)
    ] * 3


def test_method_arguments_and_backbone_reach_the_method():
    case = MethodCase(Align, AlignConfig, {"width": 5}, lambda: TinyConv(feature_dim=16))
    assert case.build().head.weight.shape == (5, 16)


def try_method(code, method, config, wrapper=TinyConv):
    case = MethodCase(method, config, wrapper=wrapper, batch_size=4)
    run_checks(method_class_checks(case), code)


def test_every_check_is_shown_to_find_a_fault():
    checks = method_class_checks(MethodCase(Align, AlignConfig))
    assert {check.code for check in checks} == {code for code, _, _ in FAULTS}
    assert [check.code for check in checks] == [f"M{number}" for number in range(1, 12)]


@define(frozen=True, kw_only=True)
class UndecidedConfig(AlignConfig):
    share: float | Literal["auto"] = field(default="auto", metadata={"help": "never decided"})


def test_options_that_stay_auto_are_found():
    with pytest.raises(AssertionError, match="leaves 'auto' in share"):
        try_method("M1", Align, UndecidedConfig)


# --------------------------------------------------------------------------------- M8: views


class AllViews(Align):
    """Any number of views; `fewest` is what it cannot do without."""

    fewest = 1
    error = ConfigError

    def training_step(self, batch, step):
        if len(batch.views) < self.fewest:
            raise self.error(f"expected {self.fewest} views")
        pooled = torch.stack([self.head(self.pool(view)) for view in batch.views])
        return StepResult(pooled.var(dim=0, correction=0).mean() - pooled.std())


class AllLocalViews(AllViews):
    fewest = 5


class AllLocalViewsObscurely(AllLocalViews):
    error = IndexError


@define(frozen=True, kw_only=True)
class MoreViewsThanAllowed(AlignConfig):
    views = TransformArgs(num_views=3)


@define(frozen=True, kw_only=True)
class AnyNumberOfViews(AlignConfig):
    requires: ClassVar = Requires(global_views=at_least(1))


@define(frozen=True, kw_only=True)
class AllCropsConfig(AlignConfig):
    requires: ClassVar = Requires(global_views=at_least(1), local_views=True)

    @classmethod
    def default_transform(cls):
        local = LocalViewArgs(num_views=3, view_size=(16, 16))
        return MultiCropTransformArgs(image_size=32, local_view=local)


@pytest.mark.parametrize("method", [AllViews, AllLocalViews])
def test_fewer_views_are_taken_or_refused_with_a_clear_error(method):
    try_method("M8", method, AllCropsConfig)


@pytest.mark.parametrize(
    ("method", "config", "message"),
    [
        (Align, MoreViewsThanAllowed, "does not fit .* takes 2 global views, got 3"),
        (Align, AnyNumberOfViews, "with 1 of 1 views global, .* ValueError: not enough values"),
        (AllLocalViewsObscurely, AllCropsConfig, "with 2 of 2 views global, .* IndexError"),
    ],
)
def test_views_that_do_not_fit_are_found(method, config, message):
    with pytest.raises(AssertionError, match=message):
        try_method("M8", method, config)


def test_full_size_views_are_those_of_the_transform():
    case = MethodCase(AllViews, AllCropsConfig, batch_size=4)
    batch = case.views_of(AllCropsConfig.default_transform())
    shapes = [tuple(view.shape) for view in batch.views]
    assert shapes == [(4, 3, 32, 32)] * 2 + [(4, 3, 16, 16)] * 3
    assert not torch.equal(batch.views[0], batch.views[1])


# ----------------------------------------------------------------------------- M9: capabilities


class NeedsTokens(Align):
    def build(self):
        super().build()
        require_capability(self.model, TokenModel, needed_by="method 'needs-tokens'")


class RefusesForNoReason(Align):
    def build(self):
        super().build()
        if isinstance(self.model, TinyConv):
            raise ConfigError("I do not like it")


def test_a_method_may_need_tokens():
    try_method("M9", NeedsTokens, AlignConfig, TinyTokens)


def test_a_method_may_not_refuse_a_backbone_otherwise():
    with pytest.raises(AssertionError, match=r"with the backbone TinyConv: .* I do not like it"):
        try_method("M9", RefusesForNoReason, AlignConfig, TinyTokens)


@pytest.mark.parametrize(("method", "backbone"), [(Align, TinyConv), (NeedsTokens, TinyTokens)])
def test_the_backbone_is_chosen_by_what_the_method_needs(monkeypatch, method, backbone):
    class Remembers(method):
        def training_step(self, batch, step):
            seen.append(type(self.model))
            return super().training_step(batch, step)

    seen = []
    install(monkeypatch, Remembers)
    for check in method_checks("some"):
        if check.code in ("M1", "M5"):
            check()
    assert set(seen) == {backbone}


def test_fit_args_are_for_the_check_that_the_loss_falls_alone(monkeypatch):
    class Remembers(Align):
        def __init__(self, config, model, context):
            super().__init__(config, model, context)
            widths[code].add(config.width)

    widths = {"M1": set(), "M2": set()}
    install(monkeypatch, Remembers)
    for check in method_checks("some", method_args={"width": 4}, fit_args={"width": 6}):
        if check.code in widths:
            code = check.code
            check()
    assert widths == {"M1": {4}, "M2": {6}}


def install(monkeypatch, method_class):
    """Make a class the method ``some``."""
    catalog = SimpleNamespace(get=lambda kind, name: (kind, name))
    monkeypatch.setattr(methods, "get_plugins", lambda: SimpleNamespace(catalog=catalog))
    monkeypatch.setattr(methods, "load_target", {("method", "some"): method_class}.get)
    monkeypatch.setattr(methods, "load_config", {("method", "some"): AlignConfig}.get)


@define(frozen=True, kw_only=True)
class WantsCropsConfig(AllCropsConfig):
    requires: ClassVar = Requires(local_views=True, crops=True)


def test_crops_are_those_of_the_views_where_the_method_wants_them():
    case = MethodCase(AllViews, WantsCropsConfig, batch_size=4)
    batch = case.batch()
    assert [crop[3].tolist() for crop in batch.crops[1:3]] == [
        [0, 0, 1, 1, 0, 0],
        [0.25, 0.25, 0.5, 0.5, 0, 0],
    ]
    drawn = case.views_of(WantsCropsConfig.default_transform()).crops
    assert [tuple(crop.shape) for crop in drawn] == [(4, 6)] * 5
    assert len({tuple(row.tolist()) for crop in drawn for row in crop}) > 15
    silent = MethodCase(AllViews, AllCropsConfig, batch_size=4)
    assert silent.batch().crops == silent.views_of(WantsCropsConfig.default_transform()).crops == []


def test_the_case_can_be_varied():
    case = replace(MethodCase(Align, AlignConfig), wrapper=TinyTokens)
    assert case.build().head.weight.shape == (8, 16)
    case = replace(case, config_class=AnyNumberOfViews)
    assert case.build(num_views=1).context.num_views == 1
