"""Pretrained weights from files: in timm's layout, or in one that timm knows how to convert."""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from timm.models import adapt_input_conv, model_entrypoint
from torch import Tensor, nn

from lightly_core.errors import ConfigError
from lightly_core.exporting.weights import read_weights

log = logging.getLogger(__name__)

_PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.")


def load_file(model: nn.Module, file: Path, name: str) -> None:
    """Load weights completely: everything but a classifier of another number of classes.

    Args:
        model: A model of timm.
        file: Tensors in timm's layout, or in the original layout of the model's authors; or
            JAX's ``.npz`` for the models whose authors publish that.
        name: Name of the model to show.

    Raises:
        ConfigError: The file cannot be read, or does not fit the model completely.
    """
    if file.suffix == ".npz":
        _load_npz(model, file, name)
        return
    tensors = translate(read_weights(file), model)
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    got = {key: tuple(value.shape) for key, value in tensors.items()}
    heads = _classifier_names(model)
    missing = [key for key in own if key not in got and key not in heads]
    unexpected = [key for key in got if key not in own]
    shapes = [
        f"{key} {got[key]} instead of {own[key]}"
        for key in own
        if key in got and got[key] != own[key]
    ]
    if missing or unexpected or shapes:
        fitting = sum(got.get(key) == shape for key, shape in own.items())
        lines = [f"{file} does not fit timm/{name}: {fitting} of its {len(own)} tensors match"]
        lines += _listed("missing in the file", missing)
        lines += _listed("unexpected", unexpected)
        lines += _listed("of another shape", shapes)
        raise ConfigError(
            "\n".join([*lines, "  give the file of this model; nothing has been loaded"])
        )
    model.load_state_dict(dict(tensors), strict=False)
    log.info(
        "Weights: %d of %d tensors of timm/%s loaded from %s%s",
        len(got),
        len(own),
        name,
        file,
        "" if len(got) == len(own) else "; the classifier starts from random weights",
    )


def translate(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Convert tensors to the names and shapes of a model.

    Candidates are the names as they are, the names without the usual prefixes, and the outputs of
    timm's functions for the layouts of the model's authors. The first convolution is
    adapted to the model's number of channels, as timm does it. A classifier of another number of
    classes is skipped.

    Args:
        tensors: Contents of a file.
        model: A model of timm.

    Returns:
        The candidate of which most tensors fit.
    """
    own = {key: value.shape for key, value in model.state_dict().items()}

    def fitting(candidate: Mapping[str, Tensor]) -> int:
        return sum(own.get(key) == value.shape for key, value in candidate.items())

    best: dict[str, Tensor] = {}
    best_count = -1
    for candidate in _candidates(tensors, model):
        adapted = _without_classifier(_fit_input(candidate, model), model)
        if (count := fitting(adapted)) > best_count:
            best, best_count = adapted, count
        if count == len(own):
            break
    return best


def _candidates(tensors: Mapping[str, Tensor], model: nn.Module) -> Iterator[dict[str, Tensor]]:
    versions = [dict(tensors)]
    for prefix in _PREFIXES:
        stripped = {
            key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)
        }
        if stripped:
            versions.append(stripped)
    yield from versions
    for function in _filters(model):
        for version in versions:
            # A function for another layout raises anything.
            with contextlib.suppress(Exception):
                found = function(dict(version), model)
                yield {key: value for key, value in found.items() if isinstance(value, Tensor)}


def _filters(model: nn.Module) -> Iterator[Callable[[dict[str, Tensor], nn.Module], Any]]:
    """Yield timm's functions that convert checkpoints for models of this kind."""
    modules = [type(model).__module__]
    configuration = getattr(model, "pretrained_cfg", None)
    if isinstance(configuration, Mapping) and configuration.get("architecture"):
        with contextlib.suppress(KeyError, RuntimeError):
            modules.insert(0, model_entrypoint(str(configuration["architecture"])).__module__)
    for module in dict.fromkeys(modules):
        for name, function in vars(sys.modules[module]).items():
            if "filter" in name and inspect.isfunction(function):
                yield from _variants(function)


def _variants(
    function: Callable[..., Any],
) -> Iterator[Callable[[dict[str, Tensor], nn.Module], Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) == 1:
        yield lambda tensors, model: function(tensors)
        return
    yield function
    # Some families set a switch of a function that others share.
    for parameter in parameters[2:]:
        if parameter.default is False:
            yield partial(function, **{parameter.name: True})


def _fit_input(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    configuration = getattr(model, "pretrained_cfg", None)
    names = configuration.get("first_conv") if isinstance(configuration, Mapping) else None
    own = model.state_dict()
    for path in (names,) if isinstance(names, str) else names or ():
        key = f"{path}.weight"
        weight = tensors.get(key)
        if key not in own or weight is None or weight.ndim != 4:
            continue
        if weight.shape[1] != own[key].shape[1] and weight.shape[2:] == own[key].shape[2:]:
            with contextlib.suppress(NotImplementedError):
                tensors = {**tensors, key: adapt_input_conv(own[key].shape[1], weight)}
    return tensors


def _without_classifier(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    own = model.state_dict()
    skipped = {
        key
        for key in _classifier_names(model)
        if key in tensors and (key not in own or own[key].shape != tensors[key].shape)
    }
    return {key: value for key, value in tensors.items() if key not in skipped}


def _classifier_names(model: nn.Module) -> set[str]:
    configuration = getattr(model, "pretrained_cfg", None)
    names = configuration.get("classifier") if isinstance(configuration, Mapping) else None
    paths = (names,) if isinstance(names, str) else names or ()
    return {f"{path}.{kind}" for path in paths for kind in ("weight", "bias")}


def _load_npz(model: nn.Module, file: Path, name: str) -> None:
    load: Any = getattr(model, "load_pretrained", None)
    if load is None:
        raise ConfigError(
            f"{file}: timm reads no .npz files for {type(model).__name__}"
            f"\n  give a .pth or .safetensors file of timm/{name}"
        )
    try:
        load(str(file))
    except Exception as error:  # The file of another model lacks names or has other shapes.
        raise ConfigError(
            f"{file} does not fit timm/{name}: {type(error).__name__}: {error}"
            "\n  give the file of this model"
        ) from error


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return [f"  {len(names)} {what}: {shown}"]
