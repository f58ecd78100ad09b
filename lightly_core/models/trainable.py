"""Which parts of a backbone are trained: modes, frozen parameters, dtypes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from lightly_core.contracts import ModelWrapper
from lightly_core.download.rehearsal import is_rehearsal
from lightly_core.errors import ConfigError
from lightly_core.parts.modes import in_evaluation, set_modes, training_modes

log = logging.getLogger(__name__)

#: Precisions of a run that convert all weights.
CONVERTING = frozenset({"16-true", "bf16-true", "64-true"})

_SHOWN = 5


def backbone_modes(wrapper: ModelWrapper) -> dict[str, bool]:
    """Return the mode in which each part of a wrapper is trained, by path.

    Parts of the user's module follow `lightly_core.parts.modes.training_modes`. Parts that the
    wrapper adds keep their mode, or are in training mode if the user's module was in evaluation
    mode as a whole.
    """
    whole, model = cast(nn.Module, wrapper), _model_of(wrapper)
    if model is None:
        return training_modes(whole)
    was_evaluating, modes = in_evaluation(model), training_modes(model)
    inside = {id(part): modes[path] for path, part in model.named_modules()}
    return {
        path: inside.get(id(part), part.training or was_evaluating)
        for path, part in whole.named_modules()
    }


def start_training(wrapper: ModelWrapper, *, by_name: bool) -> None:
    """Set the modes in which a wrapper is trained, and log which parts stay in evaluation mode.

    Args:
        wrapper: The backbone.
        by_name: Whether a library built it. If so, all parts are set to training mode, since the
            user has not chosen any mode.
    """
    whole = cast(nn.Module, wrapper)
    if by_name:
        whole.train()
        return
    set_modes(whole, backbone_modes(wrapper))
    still = [
        path
        for path, part in whole.named_modules()
        if path and not part.training and next(part.children(), None) is None
    ]
    if still:
        log.info("%d parts stay in evaluation mode, as they were given: %s", *_named(still))


def require_trainable(wrapper: ModelWrapper, unused: Sequence[str], *, embed_dim: bool) -> None:
    """Reject a backbone without trainable parameters, and log how much of it is frozen.

    Args:
        wrapper: The backbone, after `lightly_core.models.probing.freeze_unused`.
        unused: Result of that function.
        embed_dim: Whether the setting ``embed_dim`` adds a layer, which is always trained.

    Raises:
        ConfigError: The user's module has no trainable parameters.
    """
    model = _model_of(wrapper)
    if model is None:
        return
    name, parameters = type(model).__name__, list(model.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    unused_ids = {id(cast(nn.Module, wrapper).get_parameter(path)) for path in unused}
    frozen = [p for p in parameters if not p.requires_grad and id(p) not in unused_ids]
    if trained:
        if frozen:
            log.info(
                "%d of %d parameters of %s are frozen, as they were given (%s of %s numbers)",
                len(frozen),
                len(parameters),
                name,
                _numbers(frozen),
                _numbers(parameters),
            )
        return
    if not parameters:
        what = "it has no parameters"
    elif not frozen:
        what = f"its features depend on none of its {len(parameters)} parameters"
    else:
        what = f"{len(frozen)} of its {len(parameters)} parameters are frozen (requires_grad=False)"
        if len(frozen) < len(parameters):
            what += ", and the features depend on none of the others"
    if embed_dim:
        log.warning("%s is not trained, only the layer of embed_dim is: %s", name, what)
        return
    remedy = (
        "unfreeze it, model.requires_grad_(True), or the parts that are to be trained"
        if frozen
        else "name another part as features, or give another model"
    )
    raise ConfigError(
        f"model: no part of {name} can be trained: {what}"
        f"\n  {remedy}; epochs=0 exports the model as it is"
    )


def require_number_format(wrapper: ModelWrapper, precision: str) -> None:
    """Reject weights of a dtype that the run cannot train.

    Args:
        wrapper: The backbone.
        precision: Precision of the run. Those in `CONVERTING` convert all weights.

    Raises:
        ConfigError: Weights are quantized, have no values, were created in inference mode, or are
            not float32 although the run trains in float32.
    """
    whole = cast(nn.Module, wrapper)
    name = type(wrapper.get_model()).__name__
    parts = [path for path, part in whole.named_modules() if _is_quantized(part)]
    if parts:
        raise ConfigError(
            f"model: {name} is quantized, {len(parts)} parts of it: {_named(parts)[1]}; integers "
            "cannot be trained\n  give the module as it was before quantization, and quantize what "
            "the run exports"
        )
    _refuse_without_values(whole, name)
    if precision in CONVERTING:
        return
    others: dict[torch.dtype, list[str]] = {}
    for path, parameter in whole.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            others.setdefault(parameter.dtype, []).append(path)
    for dtype, paths in others.items():
        short = {torch.float16: "16-true", torch.bfloat16: "bf16-true", torch.float64: "64-true"}
        word = str(dtype).removeprefix("torch.")
        keep = f", or set precision={short[dtype]} to train in {word}" if dtype in short else ""
        raise ConfigError(
            f"model: {len(paths)} parameters of {name} are {word}, but precision={precision} "
            f"trains weights in float32: {_named(paths)[1]}\n  convert it, model.float(){keep}"
        )


def _refuse_without_values(whole: nn.Module, name: str) -> None:
    """Reject weights without values, and weights that autograd cannot use."""
    if is_rehearsal():
        return  # a dry run has no values
    meta = [path for path, parameter in whole.named_parameters() if parameter.is_meta]
    if meta:
        raise ConfigError(
            f"model: {len(meta)} parameters of {name} have no values, they are on the meta device: "
            f"{_named(meta)[1]}\n  fill them first: model.to_empty(device='cpu'), and load weights"
        )
    inference = [path for path, parameter in whole.named_parameters() if parameter.is_inference()]
    if inference:
        raise ConfigError(
            f"model: {len(inference)} parameters of {name} were made in torch.inference_mode() and "
            f"cannot be trained: {_named(inference)[1]}\n  build the module outside of it"
        )


def _model_of(wrapper: ModelWrapper) -> nn.Module | None:
    """Return the user's module, None if `get_model` returns an object of another framework."""
    model: object = wrapper.get_model()
    return model if isinstance(model, nn.Module) else None


def _is_quantized(part: nn.Module) -> bool:
    if ".quantized" in type(part).__module__ and type(part).__module__.startswith("torch."):
        return True
    tensors = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
    if any(tensor.is_quantized for tensor in tensors):
        return True
    # Integer parameters are quantized weights. Tables of indices are registered as buffers.
    return any(
        parameter.dtype in (torch.int8, torch.uint8) and parameter.ndim > 1
        for parameter in part.parameters(recurse=False)
    )


def _numbers(parameters: Sequence[nn.Parameter]) -> str:
    return f"{sum(parameter.numel() for parameter in parameters):,}"


def _named(paths: Sequence[str]) -> tuple[int, str]:
    """Return how many paths there are, and the first few."""
    more = ", ..." if len(paths) > _SHOWN else ""
    return len(paths), ", ".join(paths[:_SHOWN]) + more
