"""Functions that run a part of a model's forward pass on the same model.

`torch.fx` records the operations of a forward pass. A part of this graph is compiled to Python
code that takes the model as its first argument. The code holds no parameters, so it stays valid
when the model is moved, copied or trained.
"""

from __future__ import annotations

import copy
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
import torchvision  # type: ignore[import-untyped]
from torch import Tensor, fx, nn

from lightly_core.errors import ConfigError

#: What to do with a model that cannot be read; ends the messages of this package.
WRAP_BY_HAND = (
    "write a wrapper: a torch.nn.Module with forward_features, forward_pool, feature_dim and "
    "get_model, and pass an instance of it as model="
)


class TracedFunction:
    """A piece of a model's forward pass.

    Args:
        source: Code of a function ``forward(self, x)``, where ``self`` is the model.
        names: What the code refers to, in addition to `torch`.
    """

    def __init__(self, source: str, names: Mapping[str, object]) -> None:
        self.source = source
        self.names = dict(names)
        scope: dict[str, Any] = {"torch": torch, **self.names}
        exec(compile(source, "<traced by lightly_torchvision>", "exec"), scope)
        self._function: Callable[[nn.Module, Tensor], Tensor] = scope["forward"]

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        """Run the piece with the layers of `model`."""
        return self._function(model, x)

    def __deepcopy__(self, memo: dict[int, object]) -> TracedFunction:
        return self  # It never changes and holds no tensor.

    def __reduce__(self) -> tuple[type[TracedFunction], tuple[str, dict[str, object]]]:
        return TracedFunction, (self.source, self.names)


class _Tracer(fx.Tracer):
    """Follow the forward pass down to the layers of `torch.nn` and `torchvision.ops`.

    Args:
        leaf_types: Further classes to call as a whole.

    Attributes:
        refused: Innermost module whose forward pass could not be followed.
    """

    # Otherwise a lookup in a buffer would become a constant, which `.to()` does not move.
    proxy_buffer_attributes = True

    def __init__(self, leaf_types: tuple[type[nn.Module], ...]) -> None:
        super().__init__(autowrap_modules=(math, torchvision.ops))
        self.leaf_types = leaf_types
        self.refused: nn.Module | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is called as a whole."""
        return (
            super().is_leaf_module(m, module_qualified_name)
            or type(m).__module__.startswith("torchvision.ops.")
            or isinstance(m, self.leaf_types)
        )

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        """Record a call; remember where recording failed."""
        try:
            return super().call_module(m, forward, args, kwargs)
        except (fx.proxy.TraceError, TypeError):
            if self.refused is None:
                self.refused = m
            raise


def trace(model: nn.Module) -> fx.Graph:
    """Record the operations between the image and the class scores, in the model's present mode.

    Auxiliary heads, which some models have in training, are skipped. A layer whose forward pass
    depends on values or types (gradient checkpointing, for example) is recorded as one call.

    Raises:
        ConfigError: The forward pass of the model itself cannot be recorded.
    """
    leaf_types: tuple[type[nn.Module], ...] = ()
    attributes = set(vars(model))
    while True:
        tracer = _Tracer(leaf_types)
        try:
            graph = tracer.trace(model)
            break
        except (fx.proxy.TraceError, TypeError) as error:
            if tracer.refused is None or isinstance(tracer.refused, leaf_types):
                raise ConfigError(
                    f"cannot follow the forward pass of {type(model).__name__}: {error}"
                    f"\n  {WRAP_BY_HAND}"
                ) from error
            leaf_types = (*leaf_types, type(tracer.refused))
    if constants := set(vars(model)) - attributes:
        raise ConfigError(
            f"{type(model).__name__} computes {len(constants)} tensors from neither its input nor "
            f"its parameters; these would be missed when the model is moved\n  {WRAP_BY_HAND}"
        )
    return cut(end=_class_scores(graph))


def _class_scores(graph: fx.Graph) -> fx.Node:
    """Return the node of the main head's output."""
    found: Any = next(node for node in graph.nodes if node.op == "output").args[0]
    while True:
        if isinstance(found, (tuple, list)):
            found = found[0]
        elif isinstance(found, Mapping):
            found = next(iter(found.values()))
        elif isinstance(found.target, type) and issubclass(found.target, tuple):
            found = found.args[0]  # A named tuple of main and auxiliary scores.
        else:
            break
    assert isinstance(found, fx.Node)
    return found


def cut(*, end: fx.Node, start: fx.Node | None = None, keep_dropout: bool = True) -> fx.Graph:
    """Copy what is needed to compute one node into a graph of its own.

    Args:
        end: Node whose value the graph returns.
        start: Node whose value the graph takes; None takes the model's own input.
        keep_dropout: False passes on what dropout layers are given.
    """
    needed = {end}
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is start:
            continue
        new = [other for other in node.all_input_nodes if other not in needed]
        needed.update(new)
        waiting.extend(new)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in end.graph.nodes:
        if node not in needed:
            continue
        if node is start or node.op == "placeholder":
            copies[node] = graph.placeholder("x")
        elif is_dropout(node) and not keep_dropout:
            copies[node] = copies[node.all_input_nodes[0]]
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[end])
    return graph


def compile_graph(graph: fx.Graph) -> TracedFunction:
    """Turn a graph into a function of the model and the graph's input."""
    code = graph.python_code("self")
    # The lines before the function register modules for another trace and change global state.
    source = code.src[code.src.index("def forward") :]
    names = {
        name: value
        for name, value in code.globals.items()
        if name != "torch" and re.search(rf"\b{re.escape(name)}\b", source)
    }
    return TracedFunction(source, names)


def mark_modules(graph: fx.Graph, model: nn.Module) -> None:
    """Note at every call of a module which module it is; `module_of` reads it."""
    for node in graph.nodes:
        if node.op == "call_module":
            node.meta["module"] = model.get_submodule(str(node.target))


def module_of(node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, None if it is a plain operation."""
    module = node.meta.get("module")
    return module if isinstance(module, nn.Module) else None


def is_dropout(node: fx.Node) -> bool:
    """Return whether a node is an ordinary dropout."""
    return isinstance(module_of(node), nn.Dropout) or node.target is F.dropout


def meta_twin(model: nn.Module) -> nn.Module:
    """Copy a model to the meta device, where tensors take no memory.

    Hooks are not copied, so that those of the user do not run.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            memo[id(hooks)] = OrderedDict()
    for tensor in (*model.parameters(), *model.buffers()):
        empty = torch.empty_like(tensor, device="meta", requires_grad=False)
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = empty
    return copy.deepcopy(model, memo)
