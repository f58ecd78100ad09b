"""Weights that their authors publish in a layout of their own, for models that timm builds.

Plugins with such models share these functions: they build the architecture, adapt the first
convolution, and load a file completely or not at all.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from lightly_core.errors import ConfigError, unknown_model_args

log = logging.getLogger(__name__)

#: Key of `model_args` that is ours, not the constructor's.
WEIGHTS = "weights"

#: Prefixes of the backbone in checkpoints of the authors' training code, best network first.
_BACKBONES = ("teacher.backbone.", "student.backbone.", "module.backbone.", "backbone.")

_BLOCK = re.compile(r"blocks\.(\d+)\.")


def split_arguments(model_args: Mapping[str, object]) -> tuple[dict[str, object], str | None]:
    """Separate the constructor's arguments from ``weights``.

    Args:
        model_args: As the user gave them.

    Returns:
        The arguments, and the file or URL of the weights, None where none is given.

    Raises:
        ConfigError: ``weights`` is neither a path nor a URL.
    """
    weights = model_args.get(WEIGHTS)
    if not isinstance(weights, (str, Path, type(None))) or weights == "":
        raise ConfigError(
            f"model_args.{WEIGHTS}: expected the path or URL of a file, got {weights!r}"
        )
    arguments = {key: value for key, value in model_args.items() if key != WEIGHTS}
    return arguments, None if weights is None else str(weights)


def same_tensors(arguments: Mapping[str, object]) -> bool:
    """Return whether these arguments leave the shapes of all tensors as they are.

    Args:
        arguments: Arguments of the constructor. Rates of dropout and stochastic depth change no
            tensor. All others count as if they did.
    """
    return all(key.endswith("_rate") for key in arguments)


def build(
    name: str,
    constructor: type[nn.Module],
    *,
    fixed: Mapping[str, object],
    arguments: Mapping[str, object],
    model: str,
) -> nn.Module:
    """Build one of timm's architectures with random weights.

    Args:
        name: timm's name of the model.
        constructor: Class that timm builds it from; its arguments are what users may set.
        fixed: Arguments that users may not set.
        arguments: Arguments from the user.
        model: Name to show in errors.

    Raises:
        ConfigError: An argument is unknown, fixed, or refused by the constructor.
    """
    known = sorted({*inspect.signature(constructor).parameters} - {*fixed} | {WEIGHTS})
    for key in arguments:
        if key in known:
            continue
        kept = f"{key} is fixed for the models of this library\n  " if key in fixed else ""
        expected = f"{kept}it takes {', '.join(known)}"
        raise unknown_model_args(model, [key], known, expected=expected)
    options: dict[str, Any] = {**arguments, **fixed}
    try:
        module = timm.create_model(name, pretrained=False, **options)
    except Exception as error:  # The constructor raises anything when arguments do not suit it.
        if not arguments:
            raise
        raise ConfigError(
            f"{model} refuses model_args {dict(arguments)}: {type(error).__name__}: {error}"
        ) from error
    assert isinstance(module, nn.Module)
    return module


def backbone_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the backbone of a training checkpoint. The teacher's comes first, as it is published.

    Args:
        tensors: Contents of a file.

    Returns:
        The backbone's tensors without prefix; all of them where there is no such prefix.
    """
    for prefix in _BACKBONES:
        inner = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        if inner:
            return inner
    return dict(tensors)


def fit_input_channels(tensors: dict[str, Tensor], module: nn.Module) -> None:
    """Adapt the first convolution's weight to the model's number of input channels.

    Args:
        tensors: Under the names of `module`; changed in place.
        module: Its first convolution takes the image.
    """
    convolution, path = next(
        (child, path) for path, child in module.named_modules() if isinstance(child, nn.Conv2d)
    )
    name = f"{path}.weight"
    weight = tensors.get(name)
    if weight is None or weight.ndim != 4 or weight.shape[1] == convolution.in_channels:
        return
    tensors[name] = adapt_channels(weight, convolution.in_channels)
    log.info(
        "Weights: %s is repeated from %d to %d input channels; the output for a grey image stays",
        name,
        weight.shape[1],
        convolution.in_channels,
    )


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Repeat a convolution's input channels. The output for a grey image stays the same.

    Args:
        weight: (out, in, kh, kw).
        channels: C, the channels of the images.

    Returns:
        (out, C, kh, kw) with the sum over channels of `weight`.
    """
    before = weight.shape[1]
    repeated = weight.repeat(1, -(-channels // before), 1, 1)[:, :channels]
    scaled = repeated * (before / channels)
    rest = weight.sum(dim=1, keepdim=True) - scaled.sum(dim=1, keepdim=True)
    return scaled + rest / channels


def load_complete(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    file: str,
    model: str,
    reason: str | None = None,
) -> None:
    """Load all tensors of a model, or none.

    Args:
        module: Gets the tensors.
        tensors: Under the names of `module`.
        file: Name of the file to show.
        model: Name of the model to show.
        reason: The likely reason, for the error message.

    Raises:
        ConfigError: A tensor is missing, unexpected, or has another shape.
    """
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in tensors.items()}
    missing = [name for name in own if name not in got]
    unexpected = [name for name in got if name not in own]
    shapes = [
        f"{name} {got[name]} instead of {shape}"
        for name, shape in own.items()
        if name in got and got[name] != shape
    ]
    matched = len(own) - len(missing) - len(shapes)
    if missing or unexpected or shapes:
        lines = [f"{file} does not fit {model}: {matched} of its {len(own)} tensors match"]
        lines += _listed("missing in the file", missing)
        lines += _listed("unexpected", unexpected)
        lines += _listed("of another shape", shapes)
        lines += [f"  {reason}"] if reason else []
        raise ConfigError("\n".join(lines))
    module.load_state_dict(dict(tensors), strict=True)
    log.info("Weights: %d of %d tensors of %s loaded from %s", matched, len(own), model, file)


def transformer_reason(
    tensors: Mapping[str, Tensor], module: nn.Module, *, model: str, widths: Mapping[int, str]
) -> str | None:
    """Find the likely reason why a vision transformer's weights do not fit a model.

    Args:
        tensors: Contents of the file, under timm's names.
        module: The model.
        model: Its name.
        widths: Name of the model of each dimension.

    Returns:
        One line, or None where no reason is found.
    """
    own = module.state_dict()
    token = tensors.get("cls_token")
    if token is None:
        some = ", ".join(list(tensors)[:3])
        return f"the file is not of a vision transformer; it has {some}, ..."
    if token.shape[-1] != own["cls_token"].shape[-1]:
        width = token.shape[-1]
        of = f"a {widths[width]} (dimension {width})" if width in widths else f"dimension {width}"
        return f"this file is of {of}, {model} has dimension {own['cls_token'].shape[-1]}"
    for what, count in (("blocks", _num_blocks), ("registers", _num_registers)):
        if count(tensors) != count(own):
            return f"this file has {count(tensors)} {what}, {model} has {count(own)}"
    gated = [any(".mlp.fc1_g." in name for name in names) for names in (tensors, own)]
    if gated[0] != gated[1]:
        kinds = {True: "SwiGLU layers ('plus')", False: "plain feed-forward layers"}
        return f"this file has {kinds[gated[0]]}, {model} has {kinds[gated[1]]}"
    return None


def _num_blocks(names: Mapping[str, Tensor]) -> int:
    return len({match[1] for name in names if (match := _BLOCK.match(name))})


def _num_registers(tensors: Mapping[str, Tensor]) -> int:
    tokens = tensors.get("reg_token")
    return 0 if tokens is None else tokens.shape[1]


def _listed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return [f"  {len(names)} {what}: {shown}"]
