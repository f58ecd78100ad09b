"""Layer-wise learning rate decay: smaller learning rates towards the input of a network."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def layer_decay_factors(
    module: nn.Module,
    decay: float,
    *,
    embedding_factor: float = 1.0,
    run: Callable[[], object] | None = None,
) -> dict[str, float]:
    """Return a factor on the learning rate for each parameter.

    A network of L blocks has L + 2 depths: 0 for everything before the blocks and for tokens and
    positional parameters, 1 to L for the blocks, and L + 1 for everything after them. Modules
    between two blocks (a change of resolution) have the depth of the first of them. The factor is
    ``decay ** (L + 1 - depth)``. BEiT (https://arxiv.org/abs/2106.08254). DINOv2
    (https://arxiv.org/abs/2304.07193) uses decay 0.9 and a further factor 0.2 on the patch
    embedding.

    The blocks are those of `find_blocks`. The order of modules is that of their calls in `run`,
    or, without `run`, that of their registration.

    Args:
        module: A network with a list of blocks.
        decay: Ratio of the learning rates of neighbouring blocks, in (0, 1].
        embedding_factor: Further factor on modules before the blocks (the patch embedding), but
            not on tokens and positional parameters, > 0.
        run: Function that runs `module` once on any input, such as ``lambda: module(images)``. It
            is called without gradients and in the current mode of the module.

    Returns:
        Factors > 0 by parameter name, as in ``module.named_parameters()``. A shared parameter is
        listed under its first name only.

    Raises:
        ValueError: There is no list of blocks, `run` did not call all of them, or a factor is out
            of range.
    """
    if not 0 < decay <= 1 or embedding_factor <= 0:
        raise ValueError(
            "expected decay in (0, 1] and embedding_factor > 0, got "
            f"decay={decay} and embedding_factor={embedding_factor}"
        )
    blocks = find_blocks(module)
    names = list(dict(module.named_modules())) if run is None else _order_of_calls(module, run)
    order = {name: index for index, name in enumerate(names)}
    if missed := [block for block in blocks if block not in order]:
        raise ValueError(
            f"`run` did not call the blocks {', '.join(missed)}, expected a call of all blocks; "
            "run the whole network in it"
        )
    blocks.sort(key=order.__getitem__)
    starts = [order[block] for block in blocks]
    factors = {}
    for name, _ in module.named_parameters():
        owner = name.rpartition(".")[0]
        depth, is_embedding = _depth(owner, blocks, starts, order)
        factor = decay ** (len(blocks) + 1 - depth)
        factors[name] = factor * (embedding_factor if is_embedding else 1.0)
    return factors


def find_blocks(module: nn.Module) -> list[str]:
    """Return the names of a network's main blocks, in the order of their registration.

    A list of blocks is a `ModuleList` or `Sequential` of modules with parameters, all of one class.
    The longest list defines the class of a block. Of two lists of equal length, the one with more
    parameters does. All entries of that class in any such list are blocks, so those of all stages.

    Raises:
        ValueError: There is no list of at least two blocks.
    """
    lists: dict[str, list[nn.Module]] = {}
    for name, candidate in module.named_modules():
        if isinstance(candidate, (nn.ModuleList, nn.Sequential)):
            entries = list(candidate)
            alike = len({type(entry) for entry in entries}) == 1
            if alike and all(_size(entry) for entry in entries):
                lists[name] = entries
    if max(map(len, lists.values()), default=0) < 2:
        raise ValueError(
            f"{type(module).__name__} has no list of at least two blocks of one class, as vision "
            "transformers have; use a decay of 1 for this network"
        )
    longest = max(lists.values(), key=lambda entries: (len(entries), sum(map(_size, entries))))
    return [
        f"{name}.{index}" if name else str(index)
        for name, entries in lists.items()
        if type(entries[0]) is type(longest[0])
        for index in range(len(entries))
    ]


def _depth(
    owner: str, blocks: list[str], starts: list[int], order: dict[str, int]
) -> tuple[int, bool]:
    """Return the depth of a module's own parameters, and whether it is an embedding.

    Args:
        owner: Name of the module.
        blocks: Names of the L blocks, in order.
        starts: Positions of the blocks in the order of all modules, ascending.
        order: Position of each module that is called.
    """
    for index, block in enumerate(blocks):
        if owner == block or owner.startswith(f"{block}."):
            return index + 1, False
    held = [index for index, block in enumerate(blocks) if _holds(owner, block)]
    if held:
        return held[0], False
    position = order.get(owner)
    # A module that is never called counts as part of the head.
    earlier = len(blocks) if position is None else bisect_left(starts, position)
    return (earlier if earlier < len(blocks) else len(blocks) + 1), earlier == 0


def _order_of_calls(module: nn.Module, run: Callable[[], object]) -> list[str]:
    """Return the names of all modules in the order of their first call."""
    order: dict[str, None] = {}
    handles: list[RemovableHandle] = []

    def add_hook(name: str, submodule: nn.Module) -> None:
        def record(_: nn.Module, __: tuple[Tensor, ...]) -> None:
            order.setdefault(name)

        handles.append(submodule.register_forward_pre_hook(record))

    try:
        for name, submodule in module.named_modules():
            add_hook(name, submodule)
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def _holds(name: str, block: str) -> bool:
    """Return whether the module `name` contains `block`."""
    return not name or block.startswith(f"{name}.")


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
