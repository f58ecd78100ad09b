"""Check what a method requires, then build it."""

from __future__ import annotations

from typing import TypeVar

from lightly_core.contracts.capabilities import (
    ACTIVATION_CHECKPOINTING,
    MULTI_SCALE,
    TOKENS,
    ActivationCheckpointing,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.contracts.method import C, Method, RunContext
from lightly_core.contracts.model import ModelWrapper
from lightly_core.errors import ConfigError, MissingCapabilityError
from lightly_core.plugins.discovery import get_plugins

_A = TypeVar("_A")

#: Protocol and description of each capability.
_CAPABILITIES: dict[str, tuple[type, str]] = {
    TOKENS: (TokenModel, "patch tokens that can be masked (a vision transformer)"),
    MULTI_SCALE: (MultiScaleFeatures, "feature maps of several strides"),
    ACTIVATION_CHECKPOINTING: (ActivationCheckpointing, "activation checkpointing"),
}


def build_method(
    method_class: type[Method[C]], config: C, model: ModelWrapper, context: RunContext
) -> Method[C]:
    """Check the requirements of a method and build it.

    Args:
        method_class: The method.
        config: Its options, with all "auto" values resolved.
        model: Backbone to pretrain.
        context: Facts of the run.

    Raises:
        ConfigError: A requirement is not met, or the method rejects its options.
        MissingCapabilityError: The backbone lacks a capability.
    """
    name = context.method_name or method_class.__name__.lower()
    requires = config.requirements()
    problems = requires.run_problems(
        name,
        num_global=context.num_views,
        batch_size=context.global_batch_size,
        num_processes=context.world_size,
    )
    if problems:
        raise ConfigError.of(problems)
    capability = TOKENS if requires.whole_patches else requires.capability
    if capability is not None:
        needed_by = requires.needed_by or f"method '{name}'"
        require_capability(model, _CAPABILITIES[capability][0], needed_by)
    if requires.whole_patches:
        _require_whole_patches(name, model, context.image_size)
    return method_class(config, model, context)


def _require_whole_patches(name: str, model: object, sides: tuple[int, int]) -> None:
    assert isinstance(model, TokenModel)
    patch = model.patch_size()
    if any(side % patch for side in sides):
        fitting = " x ".join(str(max(1, round(side / patch)) * patch) for side in sides)
        raise ConfigError(
            f"method '{name}' got images of {sides[0]} x {sides[1]} pixels and a model with "
            f"patches of {patch}, expected sides that are multiples of {patch}; the nearest is "
            f"transform_args.image_size={fitting}"
        )


def require_capability(wrapper: object, capability: type[_A], needed_by: str) -> _A:
    """Check that a wrapper has a capability, and return it with that type.

    Args:
        wrapper: Any wrapper.
        capability: `TokenModel`, `MultiScaleFeatures` or `ActivationCheckpointing`. Use
            `isinstance` for `InputNormalization`, which no caller requires.
        needed_by: What needs the capability, for example ``"method 'ibot'"``. The error starts
            with it.

    Raises:
        MissingCapabilityError: The wrapper lacks the capability. The message lists models that
            have it.
    """
    if isinstance(wrapper, capability):
        return wrapper
    name, (_, meaning) = next(
        (key, value) for key, value in _CAPABILITIES.items() if value[0] is capability
    )
    catalog = get_plugins().catalog
    examples = [
        f"{catalog.usable_name(record)}/{example}"
        for record in catalog.records("models")
        for having, listed in record.capabilities.items()
        if having == name
        for example in listed
    ]
    models = ", ".join(examples) or "no installed plugin has one"
    get_model = getattr(wrapper, "get_model", None)
    got = type(get_model() if callable(get_model) else wrapper).__name__
    raise MissingCapabilityError(
        f"{needed_by} needs a model with {meaning}, which {got} does not have\n  models: {models}"
    )
