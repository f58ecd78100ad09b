"""Checks of wrappers with capabilities."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import (
    ActivationCheckpointing,
    InputNormalization,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.errors import ConfigError
from lightly_core.testing.checks import Check, require, require_close
from lightly_core.testing.tokens import TOKEN_CHECKS
from lightly_core.testing.wrapper_case import WrapperCase, outputs

logger = logging.getLogger(__name__)


def found_capability_checks(case: WrapperCase, *, subject: str = "") -> list[Check]:
    """Build a wrapper, and return the checks of the capabilities that it has.

    Args:
        case: The wrapper. If it cannot be built, the list is empty, and the other checks raise.
        subject: `Check.subject` of each.
    """
    try:
        found = capabilities_of(case.built())
    except Exception:  # pytest must still collect the other checks.
        return []
    return _listed(case, found, subject)


def declared_capability_checks(
    case: WrapperCase, capabilities: Collection[type], *, subject: str = ""
) -> list[Check]:
    """Return A0 and the checks of the declared capabilities, without building the wrapper.

    Args:
        case: The wrapper.
        capabilities: Protocols of `lightly_core.contracts.capabilities`.
        subject: `Check.subject` of each.

    Raises:
        ValueError: One of them is not a known capability.
    """
    unknown = [capability for capability in capabilities if capability not in _CHECKS]
    if unknown:
        known = ", ".join(capability.__name__ for capability in _CHECKS)
        raise ValueError(f"capabilities contains {unknown}; expected some of {known}")
    declared = [capability for capability in _CHECKS if capability in capabilities]
    return [
        Check("A0", "has_the_declared_capabilities", partial(_declared, declared, case), subject),
        *_listed(case, declared, subject),
    ]


def undeclared_capability_checks(case: WrapperCase, *, subject: str = "") -> list[Check]:
    """Return one check that finds the capabilities of a wrapper and checks each of them.

    Args:
        case: The wrapper, which is not built here.
        subject: `Check.subject`.
    """
    return [Check("A", "capabilities_hold", partial(_all_capabilities, case), subject)]


def capabilities_of(wrapper: ModelWrapper) -> list[type]:
    """Return those capabilities of a wrapper that have checks."""
    return [capability for capability in _CHECKS if isinstance(wrapper, capability)]


def _listed(case: WrapperCase, capabilities: Collection[type], subject: str) -> list[Check]:
    return [
        Check(code, title, partial(function, case), subject)
        for capability in capabilities
        for code, (title, function) in _CHECKS[capability].items()
    ]


def _declared(declared: Collection[type], case: WrapperCase) -> None:
    names = [capability.__name__ for capability in declared]
    found = [capability.__name__ for capability in capabilities_of(case.built())]
    require(found == names, f"the wrapper has the capabilities {found}, but {names} are declared")


def _all_capabilities(case: WrapperCase) -> None:
    capabilities = capabilities_of(case.built())
    failures = []
    for check in _listed(case, capabilities, ""):
        try:
            check()
        except Exception as error:  # Failures of the other checks are reported too.
            failures.append((check, error))
    names = ", ".join(capability.__name__ for capability in capabilities) or "none"
    logger.info("capabilities checked: %s", names)
    if failures:
        lines = [f"{check}: {type(error).__name__}: {error}" for check, error in failures]
        message = "\n".join([f"capabilities checked: {names}", *lines])
        raise AssertionError(message) from failures[0][1]


def _multi_scale(case: WrapperCase) -> None:
    wrapper = case.built()
    wrapper.eval()
    model = cast(MultiScaleFeatures, wrapper)
    images = case.images().requires_grad_()
    maps, dims = model.forward_multi_scale(images), tuple(model.multi_scale_dims())
    found = tuple(feature_map.shape[1] for feature_map in maps)
    require(found == dims, f"the maps have {found} channels, multi_scale_dims() returns {dims}")
    sizes = [tuple(feature_map.shape[2:]) for feature_map in maps]
    require(len(maps) > 1, f"expected maps of several strides, got a single map of {sizes}")
    for finer, coarser in itertools.pairwise(sizes):
        require(
            coarser[0] < finer[0] and coarser[1] < finer[1],
            f"the maps have {sizes} positions, expected each to be coarser than the one before",
        )
    for index, feature_map in enumerate(maps):
        count = len(feature_map)
        require(count == len(images), f"map {index} has {count} images, expected {len(images)}")
        require(feature_map.requires_grad, f"map {index} is detached")
        weighted = (feature_map * torch.randn_like(feature_map)).sum()
        (gradient,) = torch.autograd.grad(weighted, images, retain_graph=True, allow_unused=True)
        require(
            gradient is not None and gradient.any(), f"no gradient from map {index} to the images"
        )


def _normalization(case: WrapperCase) -> None:
    mean, std = cast(InputNormalization, case.built()).input_normalization()
    channels = case.num_input_channels
    require(
        len(mean) == len(std) == channels,
        f"expected one number for each of {channels} channels, got mean {mean} and std {std}",
    )
    require(
        all(0 <= value <= 1 for value in mean) and all(0 < value <= 1 for value in std),
        f"mean {mean} and std {std} are not possible for pixel values in [0, 1]",
    )


@dataclass(frozen=True)
class _Step:
    """Results of one forward and backward pass."""

    outputs: dict[str, Tensor]
    gradients: dict[str, Tensor]
    random_state: Tensor
    saved_bytes: int


def _step(wrapper: ModelWrapper, images: Tensor) -> _Step:
    module = cast(nn.Module, wrapper)
    module.zero_grad(set_to_none=True)
    module.train()
    saved = 0

    def pack(value: Tensor) -> Tensor:
        nonlocal saved
        saved += value.numel() * value.element_size()
        return value

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        found = outputs(wrapper, images)
    generator = torch.Generator().manual_seed(2)
    sums = [(v * torch.randn(v.shape, generator=generator)).sum() for v in found.values()]
    torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
    gradients = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    values = {name: value.detach() for name, value in found.items()}
    return _Step(values, gradients, torch.get_rng_state(), saved)


def _checkpointing(case: WrapperCase) -> None:
    wrapper = case.trained_copy()
    model, images = cast(ActivationCheckpointing, wrapper), case.images()
    expected = _step(wrapper, images)
    for number in (1, 2):
        try:
            model.set_activation_checkpointing(True, number)
        except ConfigError:
            require(number > 1, "set_activation_checkpointing(True) raises ConfigError")
            continue
        found = _step(wrapper, images)
        _require_same_step(found, expected, f"checkpointing with every_n_blocks={number}")
        require(
            found.saved_bytes < expected.saved_bytes,
            f"{found.saved_bytes} bytes are kept for the backward pass, expected fewer than "
            f"without checkpointing ({expected.saved_bytes})",
        )
    model.set_activation_checkpointing(False)
    again = _step(wrapper, images)
    _require_same_step(again, expected, "checkpointing switched off again")
    require(again.saved_bytes == expected.saved_bytes, "checkpointing cannot be switched off again")


def _require_same_step(found: _Step, expected: _Step, what: str) -> None:
    for name, value in expected.outputs.items():
        require(torch.equal(found.outputs[name], value), f"{what} changed '{name}'")
    lost = expected.gradients.keys() ^ found.gradients.keys()
    require(not lost, f"{what} changed which parameters get a gradient: {sorted(lost)}")
    for name, value in expected.gradients.items():
        gradient = found.gradients[name]
        # The order in which two uses of one parameter are summed up may differ.
        require_close(gradient, value, f"{what}, gradient of '{name}'", rtol=1e-5, atol=1e-6)
    require(
        torch.equal(found.random_state, expected.random_state), f"{what} sampled random numbers"
    )


_CHECKS: dict[type, dict[str, tuple[str, Callable[[WrapperCase], None]]]] = {
    TokenModel: TOKEN_CHECKS,
    MultiScaleFeatures: {"A5": ("maps_are_as_declared_and_ever_coarser", _multi_scale)},
    ActivationCheckpointing: {"A6": ("checkpointing_changes_no_number", _checkpointing)},
    InputNormalization: {"A8": ("input_normalization_has_a_number_a_channel", _normalization)},
}
