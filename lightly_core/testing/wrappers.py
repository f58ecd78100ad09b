"""Checks of model wrappers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Collection
from functools import partial
from typing import cast

import torch
from torch import nn

from lightly_core.contracts import ModelWrapper
from lightly_core.errors import ConfigError, LightlyError
from lightly_core.models.probing import freeze_unused
from lightly_core.testing.capabilities import declared_capability_checks, found_capability_checks
from lightly_core.testing.checks import Check, require
from lightly_core.testing.wrapper_case import WrapperCase, eval_outputs, outputs, require_equal

_OTHER_CHANNELS = (1, 4)
# Fraction of the parameters. Detectors have more parameters after the features than before them.
_LEAST_USED = 0.1


def wrapper_checks(
    factory: Callable[[], ModelWrapper],
    *,
    image_size: int = 64,
    num_input_channels: int = 3,
    channels_factory: Callable[[int], ModelWrapper] | None = None,
    capabilities: Collection[type] | None = None,
) -> list[Check]:
    """Return the checks of a model wrapper.

    The wrapper is built once, and most checks use it or a copy. W6, W9 and W12 compare it with
    independently built ones.

    Args:
        factory: Returns a new wrapper at each call, always of the same architecture.
        image_size: Image side in pixels that the model accepts, preferably a multiple of the
            stride. The feature map must have more than one position. Twice the size is tried too.
        num_input_channels: C.
        channels_factory: Returns a new wrapper for another number of channels. None if the
            architecture accepts C only.
        capabilities: The protocols of `lightly_core.contracts.capabilities` that the wrapper
            must have, no more and no fewer. None: a wrapper is built here to detect them.

    Returns:
        One check for each requirement. W1 to W13 are for all wrappers, W12 only with
        `channels_factory`. A1 to A4 and A7 are for wrappers with tokens, A5 for feature maps of
        several strides, A6 for activation checkpointing, A8 for a known normalisation of images
        (`lightly_core.contracts.capabilities`). A0, only with `capabilities`, checks that the
        wrapper has them.
    """
    case = WrapperCase(factory, image_size, num_input_channels, channels_factory)
    if capabilities is not None:
        return case_checks(case) + declared_capability_checks(case, capabilities)
    return case_checks(case) + found_capability_checks(case)


def case_checks(case: WrapperCase, *, subject: str = "") -> list[Check]:
    """Return W1 to W13 for a case.

    Args:
        case: The wrapper.
        subject: `Check.subject` of each.
    """
    return [
        Check(code, title, partial(function, case), subject)
        for code, (title, function) in _CHECKS.items()
        if code != "W12" or case.channels_factory is not None
    ]


def _shapes(case: WrapperCase) -> None:
    wrapper = case.built()
    dim = wrapper.feature_dim()
    require(type(dim) is int and dim > 0, f"feature_dim() returned {dim!r}, expected an int > 0")
    features = eval_outputs(wrapper, case.images())
    shape = tuple(features["features"].shape)
    require(
        len(shape) == 4 and shape[:2] == (2, dim),
        f"'features' has shape {shape}, expected (2, {dim}, h, w) with feature_dim()={dim}",
    )
    require(
        features["features"].is_floating_point(), "'features' does not have a floating-point dtype"
    )
    if "cls_token" in features:
        token = tuple(features["cls_token"].shape)
        require(token == (2, dim), f"'cls_token' has shape {token}, expected (2, {dim})")


def _sizes(case: WrapperCase) -> None:
    wrapper = case.built()
    wrapper.eval()
    with torch.no_grad():
        base = wrapper.forward_features(case.images())["features"].shape[2:]
        for factors in ((2, 2), (1, 2)):
            images = case.images(1, *factors)
            try:
                found = wrapper.forward_features(images)["features"].shape[2:]
            except (ValueError, ConfigError) as error:
                # Some architectures support one size only.
                require(
                    str(case.image_size) in str(error),
                    f"the error for images of {tuple(images.shape[2:])} pixels does not name the "
                    f"supported size {case.image_size}: {error}",
                )
                continue
            expected = tuple(factor * count for factor, count in zip(factors, base, strict=True))
            require(
                all(map(_fits, found, base, factors)),
                f"images of {tuple(images.shape[2:])} pixels gave {tuple(found)} positions, "
                f"expected {expected}: {tuple(base)} at {case.image_size} pixels",
            )


def _fits(found: int, base: int, factor: int) -> bool:
    """Return whether a side `factor` times as long may have this many positions."""
    if factor == 1:
        return found == base
    # One less if a size is not a multiple of the stride. More if convolutions without padding lose
    # some at the edges, which matters less for larger images.
    return max(base + 1, factor * base - 1) <= found <= factor * base + 3


def _pooling(case: WrapperCase) -> None:
    wrapper = case.built()
    pooled = eval_outputs(wrapper, case.images())["pooled_features"]
    expected = (2, wrapper.feature_dim(), 1, 1)
    require(
        tuple(pooled.shape) == expected,
        f"'pooled_features' has shape {tuple(pooled.shape)}, expected {expected}",
    )


def _gradients(case: WrapperCase) -> None:
    wrapper = case.copied()
    # Parameters after the features, such as a classifier, are frozen as in a run. Neck and head of
    # a detector have up to three times as many tensors as its backbone.
    unused = freeze_unused(wrapper, case.num_input_channels, case.image_size)
    trainable = {n: p for n, p in cast(nn.Module, wrapper).named_parameters() if p.requires_grad}
    require(
        4 * len(trainable) > len(unused),
        f"the features depend on {len(trainable)} parameters only, not on {unused}",
    )
    images = case.images().requires_grad_()
    wrapper.train()
    values = outputs(wrapper, images).values()
    sums = [(value * torch.randn_like(value)).sum() for value in values]
    torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
    require(images.grad is not None, "the images get no gradient; a tensor is detached")
    missing = [name for name, parameter in trainable.items() if parameter.grad is None]
    require(not missing, f"no gradient in train mode for {missing}, but there is one in eval mode")


def _repeatable(case: WrapperCase) -> None:
    wrapper = case.built()
    images = case.images()
    first = eval_outputs(wrapper, images)
    require_equal(eval_outputs(wrapper, images), first, "the same images in eval mode again")


def _state_dict(case: WrapperCase) -> None:
    wrapper, fresh = case.trained(), case.factory()
    cast(nn.Module, fresh).load_state_dict(wrapper.state_dict(), strict=True)
    images = case.images()
    expected = eval_outputs(wrapper, images)
    require_equal(eval_outputs(fresh, images), expected, "after loading the state dict")


def _deepcopy(case: WrapperCase) -> None:
    # Built for this check: a copy of a copy may agree with it although the first lost something.
    wrapper, images = case.newly_trained(), case.images()
    expected = eval_outputs(wrapper, images)
    twin = copy.deepcopy(wrapper)
    require_equal(eval_outputs(twin, images), expected, "the deep copy's output")
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.get_model().parameters()):
            value.zero_()
    again = eval_outputs(wrapper, images)
    require_equal(again, expected, "the original after its deep copy was changed")
    twin = copy.deepcopy(wrapper)
    with torch.no_grad():
        for value in wrapper.parameters():
            value.zero_()
    again = eval_outputs(twin, images)
    require_equal(again, expected, "the deep copy after its original was changed")


def _pickle(case: WrapperCase) -> None:
    wrapper, images = case.trained(), case.images()
    twin = pickle.loads(pickle.dumps(wrapper))
    require_equal(eval_outputs(twin, images), eval_outputs(wrapper, images), "after pickling")


def _exported_model(case: WrapperCase) -> None:
    wrapper, fresh = case.trained(), case.factory()
    model = wrapper.get_model()
    require(isinstance(model, nn.Module), f"get_model() returned {type(model)}, expected a module")
    require(wrapper.get_model() is model, "get_model() returned another module at the second call")
    fresh.get_model().load_state_dict(model.state_dict(), strict=True)
    images = case.images()
    require_equal(
        eval_outputs(fresh, images),
        eval_outputs(wrapper, images),
        "features after get_model()'s state dict was loaded into another get_model()",
    )


def _no_side_effects(case: WrapperCase) -> None:
    wrapper = case.copied()
    module = cast(nn.Module, wrapper)
    images = case.images()
    before = images.clone()
    for mode in (False, True):
        module.train(mode)
        modes = [part.training for part in module.modules()]
        state, dtype = torch.get_rng_state(), torch.get_default_dtype()
        outputs(wrapper, images)
        require(
            torch.get_default_dtype() == dtype, "the forward pass changed torch's default dtype"
        )
        require(torch.is_grad_enabled(), "the forward pass switched gradients off")
        found = [part.training for part in module.modules()]
        require(found == modes, "the forward pass changed train or eval mode")
        # In training mode dropout and stochastic depth may sample.
        unchanged = torch.equal(torch.get_rng_state(), state)
        require(mode or unchanged, "the forward pass in eval mode sampled random numbers")
    require(torch.equal(images, before), "the forward pass changed the images in place")


def _bfloat16(case: WrapperCase) -> None:
    wrapper = case.built()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = eval_outputs(wrapper, case.images())
    for name, value in found.items():
        require(torch.isfinite(value).all(), f"'{name}' is not finite under bfloat16 autocast")


def _channels(case: WrapperCase) -> None:
    assert case.channels_factory is not None
    for count in _OTHER_CHANNELS:
        try:
            wrapper = case.channels_factory(count)
        except ConfigError as error:
            # Some architectures support one number only.
            named = str(count) in str(error) and "channel" in str(error)
            require(named, f"the error for {count} input channels does not name them: {error}")
            continue
        _check_channels(wrapper, case, count)


def _check_channels(wrapper: ModelWrapper, case: WrapperCase, count: int) -> None:
    images = case.images(channels=count).requires_grad_()
    wrapper.eval()
    pooled = outputs(wrapper, images)["pooled_features"]
    expected = (2, wrapper.feature_dim(), 1, 1)
    require(
        tuple(pooled.shape) == expected,
        f"for {count} channels 'pooled_features' has shape {tuple(pooled.shape)}, expected "
        f"{expected}",
    )
    (gradient,) = torch.autograd.grad((pooled * torch.randn_like(pooled)).sum(), images)
    unused = [i for i in range(count) if not gradient[:, i].any()]
    require(not unused, f"of {count} input channels, these have no effect: {unused}")


def _batch_of_one(case: WrapperCase) -> None:
    wrapper = case.copied()
    wrapper.train()
    try:
        found = outputs(wrapper, case.images(batch_size=1))
    except (ValueError, LightlyError) as error:
        require(str(error), "the error for a batch of one image has no message")
        return
    pooled = tuple(found["pooled_features"].shape)
    require(pooled == (1, wrapper.feature_dim(), 1, 1), f"'pooled_features' has shape {pooled}")


_CHECKS: dict[str, tuple[str, Callable[[WrapperCase], None]]] = {
    "W1": ("feature_map_has_feature_dim_channels", _shapes),
    "W2": ("feature_map_follows_the_image_size", _sizes),
    "W3": ("pooled_features_have_one_position", _pooling),
    "W4": ("gradients_reach_parameters_and_images", _gradients),
    "W5": ("eval_twice_gives_the_same_bits", _repeatable),
    "W6": ("state_dict_round_trip", _state_dict),
    "W7": ("deepcopy_shares_nothing", _deepcopy),
    "W8": ("pickle_round_trip", _pickle),
    "W9": ("get_model_is_the_wrapped_model", _exported_model),
    "W10": ("forward_has_no_side_effects", _no_side_effects),
    "W11": ("finite_under_bfloat16_autocast", _bfloat16),
    "W12": ("other_numbers_of_input_channels_work", _channels),
    "W13": ("batch_of_one_works_or_says_why_not", _batch_of_one),
}
