"""A cache of result shapes for operations on the meta device.

torch computes the shapes of layer norms, softmaxes, activations and many other operations in
Python, which takes up to a millisecond each. The blocks of a network repeat these operations.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

_PLAIN = (Tensor, nn.Parameter)
_VALUES = (int, float, bool, str, torch.dtype, torch.device, torch.layout, torch.memory_format)
_MOST_RESULTS = 10_000


class _Described(NamedTuple):
    """Description of a tensor on the meta device."""

    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    offset: int | torch.SymInt


#: How to create the results of an operation, one entry for each tensor. None: the operation
#: changes its first argument in place and returns it.
_Recipe = tuple[tuple[torch.Size, tuple[int, ...], torch.dtype], ...] | None
_known: dict[Hashable, tuple[_Recipe, type]] = {}


class KnownShapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Skip operations on the meta device if the shapes of their results are cached.

    The results equal those of torch. The cache key holds the operation, the shapes, strides and
    dtypes of tensors, and all other arguments. torch runs operations on other devices, views of
    tensors, and operations that change more than their first argument.

    Example:
        >>> with KnownShapes():
        ...     torch.nn.functional.gelu(torch.empty(2, 3, device="meta")).shape
        torch.Size([2, 3])
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Run one operation, or create its results from the cache."""
        kwargs = kwargs or {}
        key = _key_of(func, args, kwargs)
        if key is None:
            return func(*args, **kwargs)
        if (known := _known.get(key)) is not None:
            return _create(known, args)
        before = _description(args[0])
        result = func(*args, **kwargs)
        if not func._schema.is_mutable:
            if (recipe := _recipe_of(result)) is not None:
                _keep(key, (recipe, type(result)))
        elif result is args[0] and before == _description(args[0]):
            _keep(key, (None, Tensor))
        return result


def _keep(key: Hashable, known: tuple[_Recipe, type]) -> None:
    if len(_known) >= _MOST_RESULTS:
        _known.clear()
    _known[key] = known


def _create(known: tuple[_Recipe, type], args: Sequence[Any]) -> object:
    recipe, kind = known
    if recipe is None:
        return args[0]
    tensors = [
        torch.empty_strided(shape, strides, dtype=dtype, device="meta")
        for shape, strides, dtype in recipe
    ]
    return tensors[0] if kind is Tensor else kind(tensors)


def _key_of(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable | None:
    """Return the cache key of an operation, None if its results cannot be cached."""
    if not _repeatable(func):
        return None
    found: list[Hashable] = [func, torch.get_default_dtype(), tuple(kwargs)]
    if not all(_describe(value, found) for value in (*args, *kwargs.values())):
        return None
    return tuple(found) if any(type(part) is _Described for part in found) else None


@functools.cache
def _repeatable(func: OpOverload) -> bool:
    """Return whether an operation creates new tensors or changes only its first argument."""
    if func.namespace != "aten":
        return False
    schema = func._schema
    returned = [value.alias_info for value in schema.returns]
    if not schema.is_mutable:
        return bool(returned) and not any(returned)
    written = [
        number
        for number, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return written == [0] and len(returned) == 1 and returned[0] is not None


def _describe(value: object, found: list[Hashable]) -> bool:
    """Append a description of an argument to `found`. Return False if it has none."""
    if value is None or type(value) in _VALUES:
        found.append((type(value), value))
    elif isinstance(value, Tensor):
        if not _is_plain_meta(value):
            return False
        found.append(_description(value))
    elif isinstance(value, (list, tuple)) and type(value) in (list, tuple, torch.Size):
        found.append((list, len(value)))
        return all(_describe(item, found) for item in value)
    else:
        return False
    return True


def _description(value: object) -> _Described | None:
    if not isinstance(value, Tensor):
        return None
    return _Described(value.shape, value.stride(), value.dtype, value.storage_offset())


def _is_plain_meta(value: object) -> TypeGuard[Tensor]:
    return (
        isinstance(value, Tensor)
        and type(value) in _PLAIN
        and value.is_meta
        and value.layout is torch.strided
        and not value.dtype.is_complex
    )


def _recipe_of(result: object) -> _Recipe:
    """Return how to create these results again, None if this is not possible."""
    tensors = [result] if isinstance(result, Tensor) else result
    if type(result) not in (Tensor, tuple, list) or not isinstance(tensors, (tuple, list)):
        return None
    if not all(_is_plain_meta(tensor) and tensor.storage_offset() == 0 for tensor in tensors):
        return None
    return tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors)
