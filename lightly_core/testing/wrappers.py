"""What every model wrapper must hold."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.errors import LightlyError
from lightly_core.models.probing import freeze_unused
from lightly_core.protocols import ModelWrapper
from lightly_core.testing.checks import Check, require


@dataclass(frozen=True)
class _Case:
    """A factory of wrappers and the images that they take."""

    factory: Callable[[], ModelWrapper]
    image_size: int
    num_input_channels: int

    def images(self, batch_size: int = 2, height: int = 1, width: int = 1) -> Tensor:
        """Return random images (B, C, H, W); height and width in units of `image_size`."""
        size = (height * self.image_size, width * self.image_size)
        return torch.randn(batch_size, self.num_input_channels, *size)


def wrapper_checks(
    factory: Callable[[], ModelWrapper], *, image_size: int = 64, num_input_channels: int = 3
) -> list[Check]:
    """Return the checks of a model wrapper.

    Args:
        factory: Returns a new wrapper at each call, always of the same architecture.
        image_size: A side in pixels that the model takes; twice this is tried too. Best a
            multiple of the stride.
        num_input_channels: C.

    Returns:
        One check for each claim, W1 to W11 and W13.
    """
    case = _Case(factory, image_size, num_input_channels)
    return [
        Check(code, title, partial(function, case)) for code, (title, function) in _CHECKS.items()
    ]


def _outputs(wrapper: ModelWrapper, images: Tensor) -> dict[str, Tensor]:
    """Return all tensors that both forward steps give."""
    features = wrapper.forward_features(images)
    return {**features, **wrapper.forward_pool(features)}


def _eval_outputs(wrapper: ModelWrapper, images: Tensor) -> dict[str, Tensor]:
    wrapper.eval()
    with torch.no_grad():
        return _outputs(wrapper, images)


def _require_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    require(found.keys() == expected.keys(), f"{what}: keys {set(found)}, not {set(expected)}")
    for name, value in found.items():
        require(torch.equal(value, expected[name]), f"{what}: '{name}' differs")


def _trained(case: _Case) -> ModelWrapper:
    """Return a wrapper whose weights and running statistics no new wrapper has."""
    wrapper = case.factory()
    with torch.no_grad():
        for parameter in wrapper.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
        wrapper.train()
        _outputs(wrapper, case.images())
    wrapper.eval()
    return wrapper


def _shapes(case: _Case) -> None:
    wrapper = case.factory()
    width = wrapper.feature_dim()
    require(type(width) is int and width > 0, f"feature_dim() gave {width!r}, not an int > 0")
    features = _eval_outputs(wrapper, case.images())
    shape = tuple(features["features"].shape)
    require(
        len(shape) == 4 and shape[:2] == (2, width),
        f"'features' has shape {shape}, expected (2, {width}, h, w) with feature_dim()={width}",
    )
    require(features["features"].is_floating_point(), "'features' is not of a float type")
    if "cls_token" in features:
        token = tuple(features["cls_token"].shape)
        require(token == (2, width), f"'cls_token' has shape {token}, expected (2, {width})")


def _sizes(case: _Case) -> None:
    wrapper = case.factory()
    wrapper.eval()
    with torch.no_grad():
        base = wrapper.forward_features(case.images())["features"].shape[2:]
        for height, width in ((2, 2), (1, 2)):
            images = case.images(1, height, width)
            found = tuple(wrapper.forward_features(images)["features"].shape[2:])
            expected = (height * base[0], width * base[1])
            require(
                found == expected,
                f"images of {tuple(images.shape[2:])} pixels gave {found} positions, expected "
                f"{expected}: {tuple(base)} at {case.image_size} pixels",
            )


def _pooling(case: _Case) -> None:
    wrapper = case.factory()
    pooled = _eval_outputs(wrapper, case.images())["pooled_features"]
    expected = (2, wrapper.feature_dim(), 1, 1)
    require(
        tuple(pooled.shape) == expected,
        f"'pooled_features' has shape {tuple(pooled.shape)}, expected {expected}",
    )


def _gradients(case: _Case) -> None:
    wrapper = case.factory()
    # A classifier behind the features is in order: a run freezes it, as is done here.
    unused = freeze_unused(wrapper, case.num_input_channels, case.image_size)
    trainable = {n: p for n, p in cast(nn.Module, wrapper).named_parameters() if p.requires_grad}
    require(
        len(trainable) > len(unused),
        f"the features depend on {len(trainable)} parameters only, not on {unused}",
    )
    images = case.images().requires_grad_()
    wrapper.train()
    outputs = _outputs(wrapper, images).values()
    sums = [(value * torch.randn_like(value)).sum() for value in outputs]
    torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
    require(images.grad is not None, "no gradient arrives at the images; something is detached")
    missing = [name for name, parameter in trainable.items() if parameter.grad is None]
    require(not missing, f"no gradient in train mode for {missing}, though there is one in eval")


def _repeatable(case: _Case) -> None:
    wrapper = case.factory()
    images = case.images()
    first = _eval_outputs(wrapper, images)
    _require_equal(_eval_outputs(wrapper, images), first, "the same images in eval mode again")


def _state_dict(case: _Case) -> None:
    wrapper, fresh = _trained(case), case.factory()
    cast(nn.Module, fresh).load_state_dict(wrapper.state_dict(), strict=True)
    images = case.images()
    expected = _eval_outputs(wrapper, images)
    _require_equal(_eval_outputs(fresh, images), expected, "after loading the state dict")


def _deepcopy(case: _Case) -> None:
    wrapper, images = _trained(case), case.images()
    expected = _eval_outputs(wrapper, images)
    twin = copy.deepcopy(wrapper)
    _require_equal(_eval_outputs(twin, images), expected, "the deep copy's output")
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.get_model().parameters()):
            value.zero_()
    again = _eval_outputs(wrapper, images)
    _require_equal(again, expected, "the original after its deep copy was changed")
    twin = copy.deepcopy(wrapper)
    with torch.no_grad():
        for value in wrapper.parameters():
            value.zero_()
    again = _eval_outputs(twin, images)
    _require_equal(again, expected, "the deep copy after its original was changed")


def _pickle(case: _Case) -> None:
    wrapper, images = _trained(case), case.images()
    twin = pickle.loads(pickle.dumps(wrapper))
    _require_equal(_eval_outputs(twin, images), _eval_outputs(wrapper, images), "after pickling")


def _exported_model(case: _Case) -> None:
    wrapper, fresh = _trained(case), case.factory()
    model = wrapper.get_model()
    require(isinstance(model, nn.Module), f"get_model() gave {type(model)}, not a module")
    require(wrapper.get_model() is model, "get_model() gave another module at the second call")
    fresh.get_model().load_state_dict(model.state_dict(), strict=True)
    images = case.images()
    _require_equal(
        _eval_outputs(fresh, images),
        _eval_outputs(wrapper, images),
        "features after get_model()'s state dict was loaded into another get_model()",
    )


def _no_side_effects(case: _Case) -> None:
    wrapper = case.factory()
    module = cast(nn.Module, wrapper)
    images = case.images()
    before = images.clone()
    for mode in (False, True):
        module.train(mode)
        modes = [part.training for part in module.modules()]
        state, dtype = torch.get_rng_state(), torch.get_default_dtype()
        _outputs(wrapper, images)
        require(torch.get_default_dtype() == dtype, "a forward changed torch's default dtype")
        require(torch.is_grad_enabled(), "a forward switched gradients off")
        found = [part.training for part in module.modules()]
        require(found == modes, "a forward changed train or eval mode")
        # In train mode drop-out and stochastic depth may draw.
        unchanged = torch.equal(torch.get_rng_state(), state)
        require(mode or unchanged, "a forward in eval mode drew random numbers")
    require(torch.equal(images, before), "a forward changed the images in place")


def _bfloat16(case: _Case) -> None:
    wrapper = case.factory()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = _eval_outputs(wrapper, case.images())
    for name, value in outputs.items():
        require(torch.isfinite(value).all(), f"'{name}' is not finite under bfloat16 autocast")


def _batch_of_one(case: _Case) -> None:
    wrapper = case.factory()
    wrapper.train()
    try:
        outputs = _outputs(wrapper, case.images(batch_size=1))
    except (ValueError, LightlyError) as error:
        require(str(error), "the error for a batch of one image says nothing")
        return
    pooled = tuple(outputs["pooled_features"].shape)
    require(pooled == (1, wrapper.feature_dim(), 1, 1), f"'pooled_features' has shape {pooled}")


_CHECKS: dict[str, tuple[str, Callable[[_Case], None]]] = {
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
    "W13": ("batch_of_one_works_or_says_why_not", _batch_of_one),
}
