"""The predictors of MAE, I-JEPA and CAPI, compared with attention written for each token.

B images, S visible patches, M patches to predict, D channels, 2 heads, a grid of 3 x 3 patches.
"""

import math

import torch
from torch import Tensor, nn

from parity.building import PassThrough, build
from parity.records import Comparison, Function

B, S, M, D, GRID, HEADS = 2, 4, 3, 8, (3, 3), 2
Weights = dict[str, Tensor]


def _numbers(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(9, generator=generator) for _ in range(B)])


KEEP, HIDDEN = _numbers(1)[:, :S], _numbers(1)[:, S : S + M]


def predictor(method: str, options: dict[str, object], name: str) -> nn.Module:
    """Return the predictor of a method, with the same weights at each call."""
    torch.manual_seed(0)
    found = build(method, options, PassThrough(D), image_size=GRID, batch_size=B, num_views=1)
    module = found.get_submodule(name)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


# ------------------------------------------------------------------------------ the plain form


def _linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def _norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    centred = x - x.mean()
    scaled = centred / (centred.square().mean() + 1e-6).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _perceptron(x: Tensor, weights: Weights, name: str) -> Tensor:
    hidden = _linear(x, weights, f"{name}.0")
    active = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return _linear(active, weights, f"{name}.2")


def attend(x: Tensor, context: list[Tensor], weights: Weights, name: str) -> Tensor:
    """Return the attention output of one token (D,) over a context of tokens."""
    query = _linear(x, weights, f"{name}.query")
    pairs = [_linear(c, weights, f"{name}.key_value").split(len(x)) for c in context]
    size, mixed = len(x) // HEADS, []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = torch.stack([query[part] @ key[part] / math.sqrt(size) for key, _ in pairs])
        weight = scores.exp() / scores.exp().sum()
        mixed.append(sum(w * value[part] for w, (_, value) in zip(weight, pairs, strict=True)))
    return _linear(torch.cat(mixed), weights, f"{name}.output")


def position(number: int, dim: int) -> Tensor:
    """Return a position embedding: sines and cosines of the row, then those of the column."""
    row, column = divmod(number, GRID[1])
    parts = []
    for coordinate in (row, column):
        angles = [coordinate / 10_000 ** (i / (dim // 4)) for i in range(dim // 4)]
        parts += [*map(math.sin, angles), *map(math.cos, angles)]
    return torch.tensor(parts)


def _plain_predictor(module: nn.Module, visible: Tensor, prefix: Tensor, cross: bool) -> Tensor:
    weights = {name: x.detach() for name, x in module.state_dict().items()}
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    dim = len(weights["mask_token"])
    images = []
    for b in range(B):
        context = [_linear(x, weights, "embed") for x in prefix[b]]
        for x, number in zip(visible[b], KEEP[b].tolist(), strict=True):
            context.append(_linear(x, weights, "embed") + position(number, dim))
        tokens = [weights["mask_token"] + position(n, dim) for n in HIDDEN[b].tolist()]
        tokens = tokens if cross else [*context, *tokens]
        for i in range(depth):
            block = f"blocks.{i}"
            normed = [_norm(x, weights, f"{block}.norm1") for x in tokens]
            keys = normed
            if cross:
                keys = [_norm(x, weights, f"{block}.norm_context") for x in context]
            attended = [attend(x, keys, weights, f"{block}.attention") for x in normed]
            tokens = [x + y for x, y in zip(tokens, attended, strict=True)]
            tokens = [
                x + _perceptron(_norm(x, weights, f"{block}.norm2"), weights, f"{block}.mlp")
                for x in tokens
            ]
        last = [_norm(x, weights, "norm") for x in tokens[-M:]]
        if "output.weight" in weights:
            last = [_linear(x, weights, "output") for x in last]
        images.append(torch.stack(last))
    return torch.stack(images)


def _row(method: str, options: dict[str, object], name: str, differs: str) -> Function:
    def ours(visible: Tensor, prefix: Tensor) -> Tensor:
        tokens = {"patch_tokens": visible, "prefix_tokens": prefix}
        return predictor(method, options, name)(tokens, KEEP, HIDDEN)

    def theirs(visible: Tensor, prefix: Tensor) -> Tensor:
        module = predictor(method, options, name)
        return _plain_predictor(module, visible, prefix, cross=method == "capi")

    return Function(
        method=method, what=f"forward pass of the {name}", equals="plain form",
        inputs={"visible": (B, S, D), "prefix": (B, 1, D)}, ours=ours, theirs=theirs,
        differs=differs,
    )  # fmt: skip


COMPARISONS: tuple[Comparison, ...] = (
    _row(
        "mae", {"decoder_dim": 12, "decoder_depth": 2, "decoder_num_heads": HEADS}, "decoder",
        "position embeddings start with the row's half, those of the paper's code with the "
        "column's",
    ),
    _row(
        "ijepa",
        {
            "predictor_dim": 12, "predictor_depth": 2, "predictor_num_heads": HEADS,
            "num_targets": 2,
        },
        "predictor", "as mae; prefix tokens, if any, pass through the predictor too",
    ),
    _row(
        "capi", {"predictor_dim": 12, "predictor_depth": 2, "predictor_head_dim": 12 // HEADS},
        "predictor", "position embeddings are added sines, in the paper's code rotations",
    ),
)  # fmt: skip
