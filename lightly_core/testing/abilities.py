"""What a wrapper must hold that can more than every wrapper can."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.abilities import (
    ActivationCheckpointing,
    InputNormalization,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.errors import ConfigError
from lightly_core.protocols import ModelWrapper
from lightly_core.testing.checks import Check, require, require_close
from lightly_core.testing.tokens import TOKEN_CHECKS
from lightly_core.testing.wrapper_case import WrapperCase, outputs

logger = logging.getLogger(__name__)


def found_ability_checks(case: WrapperCase, *, subject: str = "") -> list[Check]:
    """Return the checks of those abilities that a wrapper has; it is built here.

    Args:
        case: What is checked. If it cannot be built there is no check here; all others raise.
        subject: `Check.subject` of each.
    """
    try:
        found = abilities_of(case.built())
    except Exception:  # Whatever it is, tests have to be collected.
        return []
    return _listed(case, found, subject)


def declared_ability_checks(
    case: WrapperCase, abilities: Collection[type], *, subject: str = ""
) -> list[Check]:
    """Return A0 and the checks of abilities that are known before anything is built.

    Args:
        case: What is checked.
        abilities: Protocols of `lightly_core.abilities`.
        subject: `Check.subject` of each.

    Raises:
        ValueError: One of them is no ability.
    """
    unknown = [ability for ability in abilities if ability not in _CHECKS]
    if unknown:
        known = ", ".join(ability.__name__ for ability in _CHECKS)
        raise ValueError(f"abilities names {unknown}; expected some of {known}")
    declared = [ability for ability in _CHECKS if ability in abilities]
    return [
        Check("A0", "has_the_declared_abilities", partial(_declared, declared, case), subject),
        *_listed(case, declared, subject),
    ]


def undeclared_ability_checks(case: WrapperCase, *, subject: str = "") -> list[Check]:
    """Return one check, which finds out which abilities there are and tries each of them.

    Args:
        case: What is checked. It is not built here.
        subject: `Check.subject`.
    """
    return [Check("A", "abilities_hold", partial(_all_abilities, case), subject)]


def abilities_of(wrapper: ModelWrapper) -> list[type]:
    """Return those abilities of a wrapper that have checks."""
    return [ability for ability in _CHECKS if isinstance(wrapper, ability)]


def _listed(case: WrapperCase, abilities: Collection[type], subject: str) -> list[Check]:
    return [
        Check(code, title, partial(function, case), subject)
        for ability in abilities
        for code, (title, function) in _CHECKS[ability].items()
    ]


def _declared(declared: Collection[type], case: WrapperCase) -> None:
    names = [ability.__name__ for ability in declared]
    found = [ability.__name__ for ability in abilities_of(case.built())]
    require(found == names, f"the wrapper has the abilities {found}, declared are {names}")


def _all_abilities(case: WrapperCase) -> None:
    abilities = abilities_of(case.built())
    failures = []
    for check in _listed(case, abilities, ""):
        try:
            check()
        except Exception as error:  # Those of the others are told too.
            failures.append((check, error))
    names = ", ".join(ability.__name__ for ability in abilities) or "none"
    logger.info("abilities tried: %s", names)
    if failures:
        told = [f"{check}: {type(error).__name__}: {error}" for check, error in failures]
        message = "\n".join([f"abilities tried: {names}", *told])
        raise AssertionError(message) from failures[0][1]


def _multi_scale(case: WrapperCase) -> None:
    wrapper = case.built()
    wrapper.eval()
    model = cast(MultiScaleFeatures, wrapper)
    images = case.images().requires_grad_()
    maps, widths = model.forward_multi_scale(images), tuple(model.multi_scale_dims())
    found = tuple(feature_map.shape[1] for feature_map in maps)
    require(found == widths, f"the maps are {found} wide, multi_scale_dims() says {widths}")
    sizes = [tuple(feature_map.shape[2:]) for feature_map in maps]
    require(len(maps) > 1, f"there is one map only, of {sizes}; several strides are expected")
    for finer, coarser in itertools.pairwise(sizes):
        require(
            coarser[0] < finer[0] and coarser[1] < finer[1],
            f"the maps have {sizes} positions, expected each to be coarser than the one before",
        )
    for index, feature_map in enumerate(maps):
        require(len(feature_map) == len(images), f"map {index} is of {len(feature_map)} images")
        require(feature_map.requires_grad, f"map {index} is detached")
        weighted = (feature_map * torch.randn_like(feature_map)).sum()
        (gradient,) = torch.autograd.grad(weighted, images, retain_graph=True, allow_unused=True)
        require(
            gradient is not None and gradient.any(), f"no gradient from map {index} at the images"
        )


def _normalization(case: WrapperCase) -> None:
    mean, std = cast(InputNormalization, case.built()).input_normalization()
    channels = case.num_input_channels
    require(
        len(mean) == len(std) == channels,
        f"mean {mean} and deviation {std} are not one number for each of {channels} channels",
    )
    require(
        all(0 <= value <= 1 for value in mean) and all(0 < value <= 1 for value in std),
        f"mean {mean} and deviation {std} are not those of values in [0, 1]",
    )


@dataclass(frozen=True)
class _Step:
    """What one forward and backward pass left behind."""

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
            require(number > 1, "set_activation_checkpointing(True) is refused")
            continue
        found = _step(wrapper, images)
        _require_same_step(found, expected, f"checkpointing with every_n_blocks={number}")
        require(
            found.saved_bytes < expected.saved_bytes,
            f"{found.saved_bytes} bytes are kept for the backward pass, as many as without "
            f"checkpointing ({expected.saved_bytes})",
        )
    model.set_activation_checkpointing(False)
    again = _step(wrapper, images)
    _require_same_step(again, expected, "checkpointing switched off again")
    require(again.saved_bytes == expected.saved_bytes, "it cannot be switched off again")


def _require_same_step(found: _Step, expected: _Step, what: str) -> None:
    for name, value in expected.outputs.items():
        require(torch.equal(found.outputs[name], value), f"{what} changed '{name}'")
    lost = expected.gradients.keys() ^ found.gradients.keys()
    require(not lost, f"{what} changed which parameters get a gradient: {sorted(lost)}")
    for name, value in expected.gradients.items():
        gradient = found.gradients[name]
        # The order in which two uses of one parameter are summed up may differ.
        require_close(gradient, value, f"{what}, gradient of '{name}'", rtol=1e-5, atol=1e-6)
    require(torch.equal(found.random_state, expected.random_state), f"{what} drew random numbers")


_CHECKS: dict[type, dict[str, tuple[str, Callable[[WrapperCase], None]]]] = {
    TokenModel: TOKEN_CHECKS,
    MultiScaleFeatures: {"A5": ("maps_are_as_declared_and_ever_coarser", _multi_scale)},
    ActivationCheckpointing: {"A6": ("checkpointing_changes_no_number", _checkpointing)},
    InputNormalization: {"A8": ("input_normalization_has_a_number_a_channel", _normalization)},
}
