"""Call timm's constructors, and explain their errors."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping

import timm
import torch
from torch import nn

from lightly_core.errors import ConfigError, unknown_model_args
from lightly_core.models.without_numbers import is_for_want_of_numbers, without_numbers

#: Keys of `model_args` that are ours, not timm's.
OWN_ARGUMENTS = ("weights",)

#: Keys that name the source of weights. They do not change the architecture.
SOURCES = ("pretrained", "checkpoint_path", "cache_dir")

# What timm's builder removes before it calls the constructor.
_FEATURE_ARGUMENTS = ("features_only", "out_indices", "feature_cls", "pruned")

# Arguments that let a model take images of any size, the better one first. Constructors that do
# not have them refuse them before anything is built.
_ANY_SIZE: tuple[tuple[str, object], ...] = (("dynamic_img_size", True), ("strict_img_size", False))


def build(
    name: str,
    num_input_channels: int,
    arguments: Mapping[str, object],
    *,
    without_memory: bool = False,
) -> tuple[nn.Module, dict[str, object]]:
    """Build a model that takes images of any size, where its constructor can do that.

    Args:
        name: A name that timm knows.
        num_input_channels: Channels of the images.
        arguments: Arguments from the user.
        without_memory: Build with `create_without_memory`.

    Returns:
        The model, and the arguments with which `timm.create_model` built it.

    Raises:
        ConfigError: An argument is unknown or refused, or pretrained weights cannot be fetched.
    """
    given = arguments.get("in_chans", num_input_channels)
    if given != num_input_channels:
        raise ConfigError(
            f"model_args.in_chans={given}, but images have {num_input_channels} channels"
            "\n  omit in_chans; set transform_args.num_channels"
        )
    base = {"in_chans": num_input_channels, **arguments}
    attempts = [(key, {**base, key: value}) for key, value in _ANY_SIZE if key not in arguments]
    create = create_without_memory if without_memory else timm.create_model
    for key, full in [*attempts, ("", base)]:
        state = torch.get_rng_state()
        try:
            model = create(name, **full)  # type: ignore[arg-type]
        except Exception as error:  # Constructors raise anything when arguments do not suit them.
            if isinstance(error, TypeError) and key and f"'{key}'" in str(error):
                torch.set_rng_state(state)  # So that a seed gives the same weights as timm alone.
                continue
            raise _refused(name, arguments, error) from error
        assert isinstance(model, nn.Module)
        if key and key not in _parameters(model) and "features_only" not in arguments:
            torch.set_rng_state(state)  # The constructor accepts any argument and ignored this one.
            continue
        _refuse_ignored(name, model, arguments)
        return model, full
    raise AssertionError("the last attempt either returns or raises")


def create_without_memory(name: str, **arguments: object) -> nn.Module:
    """Call `timm.create_model` with tensors on the meta device. The random state stays as it is.

    Args:
        name: A name that timm knows.
        arguments: Those of `timm.create_model`.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return timm.create_model(name, **arguments)  # type: ignore[arg-type]
        except Exception as error:  # See `build`.
            if not is_for_want_of_numbers(error):
                raise
        # Some constructors compute dimensions with tensors. Here only registered tensors are on the
        # meta device. Constructors that run a part of the model fail with this.
        with without_numbers():
            return timm.create_model(name, **arguments)  # type: ignore[arg-type]


def constructor_arguments(name: str) -> list[str]:
    """Return the names of the arguments of a model's class that users may set."""
    model = create_without_memory(name)
    parameters = inspect.signature(type(model)).parameters.values()
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and parameter.name not in ("cfg", "device", "dtype", "in_chans")
    ]


def _refuse_ignored(name: str, model: nn.Module, arguments: Mapping[str, object]) -> None:
    """Refuse arguments that the constructor accepts and ignores."""
    known = _parameters(model)
    known |= {*inspect.signature(timm.create_model).parameters, *_FEATURE_ARGUMENTS, "in_chans"}
    if "features_only" in arguments:
        return  # The class is a wrapper of timm's then, not the model's.
    for key in arguments:
        if key in known:
            continue
        if _takes_anything(name, arguments, key):
            raise _unknown(name, [key])


def _parameters(model: nn.Module) -> set[str]:
    """Return the names of all arguments of a model's class and its bases."""
    return {name for cls in type(model).__mro__ for name in inspect.signature(cls).parameters}


def _takes_anything(name: str, arguments: Mapping[str, object], key: str) -> bool:
    # A constructor that accepts any object for an argument does not use it.
    with contextlib.suppress(Exception):
        create_without_memory(name, **{**arguments, "pretrained": False, key: object()})
        return True
    return False


def _refused(name: str, arguments: Mapping[str, object], error: Exception) -> ConfigError:
    first = str(error).partition("\n")[0]
    if arguments.get("pretrained"):
        return ConfigError(
            f"the pretrained weights of timm/{name} cannot be fetched: {type(error).__name__}: "
            f"{first}\n  download the file on a machine with network and give its path as "
            "model_args.weights, or omit pretrained to start from random weights"
        )
    unknown = [key for key in arguments if f"'{key}'" in first]
    if isinstance(error, TypeError) and "unexpected keyword" in first and unknown:
        return _unknown(name, unknown)
    return ConfigError(
        f"timm/{name} refuses model_args {dict(arguments)}: {type(error).__name__}: {first}"
        f"\n  {_known_arguments(name)[1]}"
    )


def _unknown(name: str, unknown: list[str]) -> ConfigError:
    known, listed = _known_arguments(name)
    return unknown_model_args(f"timm/{name}", unknown, known, expected=listed)


def _known_arguments(name: str) -> tuple[list[str], str]:
    known = sorted({*constructor_arguments(name), *OWN_ARGUMENTS, *SOURCES, "features_only"})
    return known, f"{name} takes {', '.join(known)}"
