import random

import numpy as np
import pytest
import torch
from chosen_checks import run_checks

from lightly_core.config.options.augmentations import ChannelDropArgs, LocalViewArgs
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.contracts import Sample, Transform
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.testing import parametrize_checks, transform_checks

DROP = ChannelDropArgs(num_channels_keep=3, weight_drop=(1.0, 1.0, 0.0, 0.0))
CODES = ["T1", "T2", "T3", "T4", "T5"]


@parametrize_checks(transform_checks(TwoStageTransform))
def test_the_built_in_transform_holds_the_contract(check):
    check()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "args",
    [
        MultiCropTransformArgs(image_size=(24, 32), local_view=LocalViewArgs(view_size=(16, 16))),
        TransformArgs(image_size=24, num_channels=1),
        TransformArgs(image_size=24, channel_drop=DROP),
    ],
    ids=["multi-crop", "grey", "channel drop"],
)
def test_it_does_so_with_other_options(code, args):
    run_checks(transform_checks(TwoStageTransform, args), code)


class OneViewTooFew(TwoStageTransform):
    def sample(self, image, rng, index):
        sample = super().sample(image, rng, index)
        return Sample(index, sample.views[1:], sample.parameters[1:])


class LargeViews(TwoStageTransform):
    def sample(self, image, rng, index):
        sample = super().sample(image, rng, index)
        sample.views = [view.repeat(1, 2, 1) for view in sample.views]
        return sample


class FloatsTo255(TwoStageTransform):
    def sample(self, image, rng, index):
        sample = super().sample(image, rng, index)
        sample.views = [view.float() for view in sample.views]
        return sample


class ForgetsTheIndex(TwoStageTransform):
    def sample(self, image, rng, index):
        return super().sample(image, rng, 0)


class TellsOneCropOnly(TwoStageTransform):
    def __init__(self, args):
        super().__init__(args, crops=True)

    def sample(self, image, rng, index):
        sample = super().sample(image, rng, index)
        sample.crops.pop()
        return sample


class HalfPrecision(TwoStageTransform):
    def views(self, pixels, parameters):
        return [view.half() for view in super().views(pixels, parameters)]


class PaintsIntoThePicture(TwoStageTransform):
    def sample(self, image, rng, index):
        image.putpixel((0, 0), (1, 2, 3))
        return super().sample(image, rng, index)


class DrawsFromTorch(TwoStageTransform):
    def views(self, pixels, parameters):
        return [view + torch.randn(()) for view in super().views(pixels, parameters)]


class DrawsFromNumpy(TwoStageTransform):
    def sample(self, image, rng, index):
        return super().sample(image, np.random.default_rng(np.random.randint(1000)), index)


class DrawsFromPython(TwoStageTransform):
    def sample(self, image, rng, index):
        return super().sample(image, np.random.default_rng(random.randrange(1000)), index)


class RemembersTheLast(TwoStageTransform):
    calls = 0

    def sample(self, image, rng, index):
        type(self).calls += 1
        return super().sample(image, np.random.default_rng(self.calls), index)


class HoldsAFunction(TwoStageTransform):
    def __init__(self, args):
        super().__init__(args)
        self.change = lambda view: view


class ForgetsWhenPickled(TwoStageTransform):
    def __init__(self, args):
        super().__init__(args)
        self.flip = True

    def __getstate__(self):
        return {**self.__dict__, "flip": False}

    def sample(self, image, rng, index):
        sample = super().sample(image, rng, index)
        sample.views = [view.flip(2) if self.flip else view for view in sample.views]
        return sample


class NeedsColour(TwoStageTransform):
    def sample(self, image, rng, index):
        if image.mode == "L":
            raise KeyError("green")
        return super().sample(image, rng, index)


class NeedsSpace(TwoStageTransform):
    def sample(self, image, rng, index):
        width, height = image.size
        assert min(width, height) > 10
        return super().sample(image, rng, index)


class PlansAnotherSeed(TwoStageTransform):
    def plan(self, size, rng, index):
        return super().plan(size, np.random.default_rng(0), index)

    def sample(self, image, rng, index):
        return super().plan((48, 60), rng, index).make(image)


class NeedsThePlannedSize(TwoStageTransform):
    def sample(self, image, rng, index):
        return super().sample(image, rng, index)

    def plan(self, size, rng, index):
        plan = super().plan(size, rng, index)
        make = plan.make
        plan.make = lambda image: make(image) if image.size == size[::-1] else Sample(index, [], [])
        return plan


FAULTS = [
    ("T1", OneViewTooFew, "gave 1 views, the options declare 2"),
    ("T1", LargeViews, r"view 0 of .* has shape \(3, 64, 32\), expected \(3, 32, 32\)"),
    ("T1", FloatsTo255, r"float values outside of \[0, 1\]"),
    ("T1", ForgetsTheIndex, "the sample has index 0, expected 7"),
    ("T1", TellsOneCropOnly, r"crops are .* expected none, or six numbers of float32 per view"),
    ("T1", HalfPrecision, "torch.float16"),
    ("T1", PaintsIntoThePicture, "changed in place"),
    ("T2", DrawsFromTorch, "the same seeds gave different views; sample from `rng` only"),
    ("T2", DrawsFromNumpy, "the same seeds gave different views; sample from `rng` only"),
    ("T2", DrawsFromPython, "the same seeds gave different views; sample from `rng` only"),
    ("T2", RemembersTheLast, "the same seeds gave different views"),
    ("T3", HoldsAFunction, "pickle"),
    ("T3", ForgetsWhenPickled, "different after pickling"),
    ("T4", NeedsColour, "a grey image raised KeyError"),
    ("T5", PlansAnotherSeed, "another sample than sample"),
    ("T5", NeedsThePlannedSize, "half of the planned size gave 0 views"),
    ("T4", NeedsSpace, r"a tiny image of \(1, 1\) pixels raised AssertionError"),
]


@pytest.mark.parametrize(("code", "transform", "message"), FAULTS)
def test_check_finds_the_fault(code, transform, message):
    with pytest.raises(Exception, match=message):
        run_checks(transform_checks(transform), code)


def test_every_check_is_shown_to_find_a_fault():
    assert {code for code, _, _ in FAULTS} == set(CODES)
    assert [check.code for check in transform_checks(TwoStageTransform)] == CODES


class RefusesOddPictures(TwoStageTransform):
    def sample(self, image, rng, index):
        if isinstance(image, np.ndarray) or min(image.size) < 10:
            raise ValueError("expected a Pillow picture of at least 10 pixels")
        return super().sample(image, rng, index)


def test_a_picture_may_be_refused_with_a_clear_error():
    run_checks(transform_checks(RefusesOddPictures), "T4")


def test_a_transform_of_its_own_kind_is_tried_too():
    class Grey(Transform):
        """Always the same picture."""

        def __init__(self, args):
            self.sizes = [spec.size for spec in args.view_specs()]

        def sample(self, image, rng, index):
            views = [torch.zeros(3, *size, dtype=torch.uint8) for size in self.sizes]
            return Sample(index, views, [torch.zeros(1)] * len(views))

        def views(self, pixels, parameters):
            return [view.float() for view in pixels]

    run_checks(transform_checks(Grey), "T1", "T2", "T4")  # T3: a class inside of a function
