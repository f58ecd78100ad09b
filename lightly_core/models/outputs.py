"""Output shapes of the parts of a module, and forward passes that end at one part.

Letters used for shapes: B images, H and W pixels, D feature channels, h and w feature positions,
P prefix tokens.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lightly_core.models.layouts import BATCH, Shape, Size
from lightly_core.models.probing import undisturbed
from lightly_core.models.unwrapping import unwrap_parts

#: Shapes of the tensors in the output of one part, by `entries` key.
Entries = dict[str, Shape]

#: Name of the features in the outputs of transformers' models.
LAST_HIDDEN_STATE = "last_hidden_state"

#: Whether `torch.export` records a graph. Older versions of torch know compilation only.
_is_exporting: Callable[[], bool] = getattr(
    torch.compiler, "is_exporting", torch.compiler.is_compiling
)


@dataclass(frozen=True)
class OutputShapes:
    """Output shapes of the parts of a module for images of one or two sizes.

    Attributes:
        sizes: Heights and widths of the images. Only one if the module accepts no other size.
        shapes: For each size the shapes of every part's first output, by path, in the order in
            which the calls ended. The module itself has the path "".
        error: Error of the forward pass at the first size, None if there was none.
    """

    sizes: tuple[Size, ...]
    shapes: tuple[Mapping[str, Entries], ...]
    error: Exception | None

    def at_sizes(self, path: str, key: str) -> list[Shape]:
        """Return the shapes of one entry, only that of the first size if the second lacks it."""
        return [known[path][key] for known in self.shapes if key in known.get(path, {})]


def output_shapes(
    module: nn.Module, path: str, num_input_channels: int, size: Size
) -> OutputShapes:
    """Determine the output shapes of all parts for images of `size`, and of a larger size.

    The trial runs on a copy on the meta device, or on the module itself in evaluation mode if the
    copy does not work. The forward pass may fail after `path`.

    Args:
        module: Module that takes images (B, C, H, W).
        path: Path of the part that has to be reached.
        num_input_channels: C.
        size: Height and width in pixels.
    """
    twin: nn.Module | None
    try:
        twin = meta_twin(module)
    except Exception:  # Modules may hold objects that cannot be copied.
        twin = None
    first: dict[str, Entries] = {}
    error: Exception | None = None
    for candidate in (twin, module):
        if candidate is None:
            continue
        first, error = _shapes(candidate, num_input_channels, size)
        if path not in first:
            continue
        height, width = size
        # Multiples of all common strides, then multiples of the first size. Square sizes last, for
        # models that accept no other.
        for other in (
            (height + 64, width + 128),
            (2 * height, 3 * width),
            (height + 64, width + 64),
            (2 * height, 2 * width),
        ):
            second, _ = _shapes(candidate, num_input_channels, other)
            if path in second:
                return OutputShapes((size, other), (first, second), error)
        break
    return OutputShapes((size,), (first,), error)


def meta_twin(module: nn.Module) -> nn.Module:
    """Copy a module to the meta device, where its tensors have no values and take no memory.

    Hooks are not copied, so that hooks of the user do not run for the copy.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            memo[id(hooks)] = OrderedDict()
    for tensor in (*module.parameters(), *module.buffers()):
        empty = torch.empty_like(tensor, device="meta", requires_grad=False)
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = empty
    twin = copy.deepcopy(module, memo)
    unwrap_parts(twin)  # so that nothing is compiled for the copy
    return twin


def images_for(module: nn.Module, num_input_channels: int, size: Size) -> Tensor:
    """Return random images (B, C, H, W) on the device and in the dtype of a module."""
    tensors = (*module.parameters(), *module.buffers())
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, num_input_channels, *size, generator=generator)
    return images.to(like)


def entries(output: object) -> dict[str, Tensor]:
    """Return the tensors in an output: under "" for a tensor, else by key or position."""
    if isinstance(output, Tensor):
        return {"": output}
    if isinstance(output, Mapping):
        named: list[tuple[object, object]] = list(output.items())
    elif isinstance(output, (tuple, list)):
        named = list(enumerate(output))
    else:
        named = [(LAST_HIDDEN_STATE, getattr(output, LAST_HIDDEN_STATE, None))]
    return {str(key): value for key, value in named if isinstance(value, Tensor)}


def entry(output: object, key: str) -> object:
    """Return one of the `entries` of an output, None if there is no such entry."""
    if not key:
        return output
    if isinstance(output, Mapping):
        return next((value for name, value in output.items() if str(name) == key), None)
    if isinstance(output, (tuple, list)) and key.isdigit():
        return output[int(key)] if int(key) < len(output) else None
    return getattr(output, key, None)


class _Reached(BaseException):
    """Ends a forward pass. It is not an `Exception`, which a model may catch."""

    def __init__(self, output: object, with_gradients: bool) -> None:
        super().__init__()
        self.output = output
        self.with_gradients = with_gradients


def run_until(module: nn.Module, path: str, x: Tensor) -> object:
    """Run a module up to one of its parts. Layers after it do not run.

    Args:
        module: Module that takes `x`.
        path: Path of the part, "" for the whole module.
        x: Images (B, C, H, W).

    Returns:
        The output of the part at its first call.

    Raises:
        ValueError: The forward pass ended without a call of the part, or computed it without
            gradients in training.
    """
    if not path:
        return module(x)
    if _is_exporting():
        return _run_through(module, path, x)
    thread = threading.get_ident()
    with_gradients = module.training and torch.is_grad_enabled()

    def stop(part: nn.Module, inputs: object, output: object) -> None:
        # Another thread may run the same module, with a hook of its own.
        if threading.get_ident() == thread:
            raise _Reached(output, torch.is_grad_enabled())

    hook = module.get_submodule(path).register_forward_hook(stop)
    try:
        module(x)
    except _Reached as reached:
        if with_gradients and not reached.with_gradients:
            raise ValueError(
                f"{type(module).__name__} computes its part {path!r} without gradients, so it "
                "cannot be trained: inside of torch.no_grad() or of a checkpoint with "
                "use_reentrant=True\n  name a part further out, or set use_reentrant=False"
            ) from None
        return reached.output
    finally:
        hook.remove()
    mode = "training" if module.training else "evaluation"
    raise ValueError(f"{type(module).__name__} does not call its part {path!r} in {mode} mode")


def _run_through(module: nn.Module, path: str, x: Tensor) -> object:
    """Do what `run_until` does while `torch.export` records a graph.

    The graph holds whole calls of modules, so none may be left by an exception. What is not used
    is removed from the graph later.
    """
    outputs: list[object] = []

    def keep(part: nn.Module, inputs: object, output: object) -> None:
        # Later layers may change the output in place.
        outputs.append(tree_map_only(Tensor, Tensor.clone, output))

    hook = module.get_submodule(path).register_forward_hook(keep)
    try:
        module(x)
    finally:
        hook.remove()
    if not outputs:
        raise ValueError(f"{type(module).__name__} does not call its part {path!r} in a graph")
    return outputs[0]


def _shapes(
    module: nn.Module, num_input_channels: int, size: Size
) -> tuple[dict[str, Entries], Exception | None]:
    """Run a module once. Return the output shapes of its parts, and the error if it fails."""
    found: dict[str, Entries] = {}

    def recorder(path: str) -> Callable[[nn.Module, object, object], None]:
        def record(part: nn.Module, inputs: object, output: object) -> None:
            shapes = {
                key: tuple(value.shape)
                for key, value in entries(output).items()
                if value.is_floating_point()
            }
            found.setdefault(path, shapes)

        return record

    with ExitStack() as stack:
        stack.enter_context(undisturbed(module))
        stack.enter_context(torch.no_grad())
        for path, part in module.named_modules(remove_duplicate=False):
            stack.callback(part.register_forward_hook(recorder(path)).remove)
        try:
            module(images_for(module, num_input_channels, size))
        except Exception as error:  # The module may be code of the user.
            return found, error
    return found, None
