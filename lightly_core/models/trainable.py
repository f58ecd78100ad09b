"""What of a backbone is trained: modes, frozen parameters, number formats."""

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
    """Return in which mode each part of a wrapper is to be trained, by path.

    The user's module decides by the rule of `lightly_core.parts.modes.training_modes`. What the
    wrapper adds keeps its mode; it goes to training mode with a module that was in evaluation mode
    as a whole.
    """
    whole, model = cast(nn.Module, wrapper), _model_of(wrapper)
    if model is None or model is whole:
        return training_modes(whole)
    woken, modes = in_evaluation(model), training_modes(model)
    inside = {id(part): modes[path] for path, part in model.named_modules()}
    return {
        path: inside.get(id(part), part.training or woken) for path, part in whole.named_modules()
    }


def start_training(wrapper: ModelWrapper, *, by_name: bool) -> None:
    """Put a wrapper in the modes in which it is trained, and say what stays in evaluation mode.

    Args:
        wrapper: The backbone.
        by_name: Whether a library built it, so that nobody has chosen any mode: all is trained.
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
    """Refuse a backbone without anything to train, and say how much of it is frozen.

    Args:
        wrapper: After `lightly_core.models.probing.freeze_unused`.
        unused: What that returned.
        embed_dim: Whether the setting of that name adds a layer, which is trained in any case.

    Raises:
        ConfigError: No parameter of the user's module can be trained.
    """
    model = _model_of(wrapper)
    if model is None:
        return
    name, parameters = type(model).__name__, list(model.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    behind = {id(cast(nn.Module, wrapper).get_parameter(path)) for path in unused}
    frozen = [p for p in parameters if not p.requires_grad and id(p) not in behind]
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
        f"model: nothing of {name} can be trained: {what}"
        f"\n  {remedy}; epochs=0 exports the model as it is"
    )


def require_number_format(wrapper: ModelWrapper, precision: str) -> None:
    """Refuse weights of a number format in which the run does not train.

    Args:
        wrapper: The backbone.
        precision: The run's; those of `CONVERTING` convert all weights.

    Raises:
        ConfigError: Weights are quantized, have no values, were made in inference mode, or are not
            float32 where the run trains in float32.
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
    """Refuse weights that are not there, or that autograd must not see."""
    if is_rehearsal():
        return  # where nothing has values
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
    """Return the user's module; None where a wrapper for another framework gives something else."""
    model: object = wrapper.get_model()
    return model if isinstance(model, nn.Module) else None


def _is_quantized(part: nn.Module) -> bool:
    if ".quantized" in type(part).__module__ and type(part).__module__.startswith("torch."):
        return True
    tensors = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
    if any(tensor.is_quantized for tensor in tensors):
        return True
    # Integers that are registered as parameters are weights; tables of indices are buffers.
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
