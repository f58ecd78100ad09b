import pytest
import torch
from attrs import define, field
from torch import nn

from lightly_core.config.augmentations import LocalViewArgs
from lightly_core.config.method import MethodConfig
from lightly_core.config.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.protocols import Method, StepResult
from lightly_core.testing import MethodCase, TinyConv, method_class_checks, parametrize_checks


@define(frozen=True, kw_only=True)
class AlignConfig(MethodConfig):
    width: int = field(default=8, metadata={"help": "width of the projector"})

    @classmethod
    def default_transform(cls):
        return TransformArgs(num_views=2)


class Align(Method):
    """Two views to the same place, different images apart; with an EMA teacher."""

    def __init__(self, config, model, context):
        super().__init__(config, model, context)
        self.head = nn.Linear(model.feature_dim(), config.width)
        self.teacher = nn.Linear(model.feature_dim(), config.width)
        self.teacher.load_state_dict(self.head.state_dict())
        self.teacher.requires_grad_(False)

    def pooled(self, view):
        return self.model.forward_pool(self.model.forward_features(view))[
            "pooled_features"
        ].flatten(1)

    def training_step(self, batch, step):
        first, second = (self.pooled(view) for view in batch.views)
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


class NotAScalar(Align):
    def training_step(self, batch, step):
        return StepResult(super().training_step(batch, step).loss[None])


class NeverLearns(Align):
    def training_step(self, batch, step):
        loss = super().training_step(batch, step).loss
        return StepResult(2 * loss.detach() - loss)  # the gradient leads uphill


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


class OwnRandomness(Align):
    generator = torch.Generator().manual_seed(0)

    def training_step(self, batch, step):
        loss = super().training_step(batch, step).loss
        return StepResult(loss * (1 + torch.rand((), generator=self.generator)))


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
        pooled = self.pooled(batch.views[0])
        return StepResult((pooled @ torch.eye(pooled.shape[1])).mean())


@pytest.mark.parametrize(
    ("code", "method", "message"),
    [
        ("M1", NotAScalar, r"shape \(1,\)"),
        ("M2", NeverLearns, "expected a lower one"),
        ("M3", ForgetsTheHead, "'head.weight': 0"),
        ("M3", GroupsTwice, "'head.weight': 2"),
        ("M4", TeacherMovesInTheStep, "'teacher.weight' is frozen and changed"),
        ("M5", CountsOutsideTheState, "after saving and loading"),
        ("M6", OwnRandomness, "same seed"),
        ("M7", ChangingMetrics, r"\['at_0'\] became \['at_1'\]"),
        ("M7", AttachedMetric, "not detached"),
        ("M10", WaitsForTheDevice, "meta"),
        ("M10", MakesTensorsOnTheCpu, r"got tensors on \['cpu', 'meta'\]"),
    ],
)
def test_check_finds_the_fault(code, method, message):
    checks = {check.code: check for check in method_class_checks(MethodCase(method, AlignConfig))}
    with pytest.raises(Exception, match=message):
        checks[code]()


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
