"""Learning rates that fall towards the input of a network."""

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

    A network of L blocks has L + 2 depths: 0 for all in front of the blocks and for the tokens and
    positions that stand beside them, 1 to L for the blocks, L + 1 for what follows. What lies
    between two blocks (a change of resolution) has the depth of the first of them. The factor is
    ``decay ** (L + 1 - depth)``. BEiT (https://arxiv.org/abs/2106.08254); DINOv2
    (https://arxiv.org/abs/2304.07193) has decay 0.9 and a further factor 0.2 on the patch
    embedding.

    The blocks are those of `find_blocks`. What comes before what is found by running the network
    once, or, without `run`, by the order in which modules were registered.

    Args:
        module: A network with a list of blocks.
        decay: Ratio of the learning rates of neighbouring blocks, in (0, 1].
        embedding_factor: Further factor on modules in front of the blocks (the patch embedding),
            not on tokens and positions, > 0.
        run: Runs `module` once on any input, as ``lambda: module(images)``. It is called without
            gradients and in the module's present mode.

    Returns:
        Parameter names as in ``module.named_parameters()`` with factors > 0. A parameter with
        several names has the first one only.

    Raises:
        ValueError: There is no list of blocks, `run` did not use them all, or a factor is out of
            its range.
    """
    if not 0 < decay <= 1 or embedding_factor <= 0:
        raise ValueError(
            "expected decay in (0, 1] and embedding_factor > 0, got "
            f"decay={decay} and embedding_factor={embedding_factor}"
        )
    blocks = find_blocks(module)
    names = list(dict(module.named_modules())) if run is None else _order_of_calls(module, run)
    places = {name: place for place, name in enumerate(names)}
    if missed := [block for block in blocks if block not in places]:
        raise ValueError(
            f"`run` did not call the blocks {', '.join(missed)}; expected it to run all of them"
        )
    blocks.sort(key=places.__getitem__)
    starts = [places[block] for block in blocks]
    factors = {}
    for name, _ in module.named_parameters():
        owner = name.rpartition(".")[0]
        depth, is_embedding = _depth(owner, blocks, starts, places)
        factor = decay ** (len(blocks) + 1 - depth)
        factors[name] = factor * (embedding_factor if is_embedding else 1.0)
    return factors


def find_blocks(module: nn.Module) -> list[str]:
    """Return the names of the blocks that a network mostly consists of, as they were registered.

    A list is a `ModuleList` or `Sequential` of modules with parameters, all of one class. The
    longest one says what a block is; of two that are equally long, the one with more parameters.
    Blocks are all entries of that class in any list (of all stages of a network).

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
            f"{type(module).__name__} has no list of at least two blocks of one class, expected "
            "one as vision transformers have it; use a decay of 1 for this network"
        )
    longest = max(lists.values(), key=lambda entries: (len(entries), sum(map(_size, entries))))
    return [
        f"{name}.{index}" if name else str(index)
        for name, entries in lists.items()
        if type(entries[0]) is type(longest[0])
        for index in range(len(entries))
    ]


def _depth(
    owner: str, blocks: list[str], starts: list[int], places: dict[str, int]
) -> tuple[int, bool]:
    """Return the depth of a module's own parameters, and whether it is an embedding.

    Args:
        owner: Name of the module.
        blocks: Names of the L blocks, in order.
        starts: Their places among all modules, ascending.
        places: The place of each module that is called.
    """
    for index, block in enumerate(blocks):
        if owner == block or owner.startswith(f"{block}."):
            return index + 1, False
    held = [index for index, block in enumerate(blocks) if _holds(owner, block)]
    if held:
        return held[0], False
    place = places.get(owner)
    # What is never called by itself is taken for a head.
    earlier = len(blocks) if place is None else bisect_left(starts, place)
    return (earlier if earlier < len(blocks) else len(blocks) + 1), earlier == 0


def _order_of_calls(module: nn.Module, run: Callable[[], object]) -> list[str]:
    """Return the names of all modules in the order in which they are first called."""
    order: dict[str, None] = {}
    handles: list[RemovableHandle] = []

    def listen(name: str, listened: nn.Module) -> None:
        def note(_: nn.Module, __: tuple[Tensor, ...]) -> None:
            order.setdefault(name)

        handles.append(listened.register_forward_pre_hook(note))

    try:
        for name, submodule in module.named_modules():
            listen(name, submodule)
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def _holds(name: str, block: str) -> bool:
    """Tell whether the module `name` is one around `block`."""
    return not name or block.startswith(f"{name}.")


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
