"""Build networks on the meta device: shapes without values."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy

from lightly_core.download.rehearsal import NotFetchedError, rehearsing
from lightly_core.errors import LightlyError
from lightly_core.parts.known_shapes import KnownShapes

# Errors of torch about tensors on the meta device, and operations that are not available there.
_WITHOUT_NUMBERS = re.compile("(?<![A-Za-z])meta(?![A-Za-z])|Meta tensors|Meta kernel")

_ENDINGS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


@contextmanager
def without_numbers() -> Iterator[None]:
    """Put all parameters and buffers that modules register on the meta device.

    Building is fast and takes little memory. Models are built by name without pretrained weights,
    and nothing is downloaded, see `lightly_core.download.rehearsal`. `torch.device("meta")` is not
    used, since constructors that sample with a generator of their own would fail.
    """
    with ExitStack() as stack:
        # By torch's documentation hooks may return a replacement, which its annotations omit.
        for register, hook in (
            (register_module_parameter_registration_hook, _parameter_to_meta),
            (register_module_buffer_registration_hook, _buffer_to_meta),
        ):
            stack.callback(register(cast(Callable[..., None], hook)).remove)
        stack.enter_context(KnownShapes())
        stack.enter_context(rehearsing())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of copies to tensors on the meta device
        yield


def is_for_want_of_numbers(error: BaseException) -> bool:
    """Return whether an error, or one that it was raised from, is caused by `without_numbers`."""
    link: BaseException | None = error
    while link is not None:
        # Errors for users may name the company Meta. The error of torch is their cause.
        text = "" if isinstance(link, LightlyError) else str(link)
        if isinstance(link, NotFetchedError) or _WITHOUT_NUMBERS.search(text):
            return True
        link = link.__cause__ or link.__context__
    return False


def without_weights(
    arguments: Mapping[str, object], weight_args: tuple[str, ...]
) -> dict[str, object]:
    """Remove arguments that select pretrained weights, except for paths of missing files.

    Args:
        arguments: Arguments of a model's constructor.
        weight_args: See `lightly_core.contracts.ModelLibrary.weight_args`.
    """
    return {
        name: value
        for name, value in arguments.items()
        if name not in weight_args or _is_missing_file(value)
    }


def _parameter_to_meta(module: nn.Module, name: str, parameter: nn.Parameter) -> object:
    if parameter is None or parameter.is_meta or is_lazy(parameter):
        return None
    return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)


def _buffer_to_meta(module: nn.Module, name: str, buffer: Tensor) -> object:
    return None if buffer is None or buffer.is_meta or is_lazy(buffer) else buffer.to("meta")


def _is_missing_file(value: object) -> bool:
    if isinstance(value, Path):
        return not value.is_file()
    if not isinstance(value, str) or "://" in value:
        return False
    looks_like_one = os.sep in value or value.endswith(_ENDINGS)
    return looks_like_one and not Path(value).expanduser().is_file()
