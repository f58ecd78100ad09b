"""Parameter groups: learning-rate factors, and which parameters get weight decay."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from lightly_core.config.options.optim import Decayed
from lightly_core.errors import ConfigError


@dataclass
class ParameterGroup:
    """Parameters that the optimizer treats alike.

    Attributes:
        name: Name in logs, unique within a run.
        parameters: The parameters. Each belongs to one group only.
        weight_decay: Whether they are decayed, or a factor on the run's weight decay. LARS uses
            no trust ratio for a group without decay, which takes plain SGD steps.
        lr_scale: Factor on the run's learning rate, > 0.
        constant_lr: Keep the peak learning rate, without warm-up or decay (SimSiam's predictor,
            https://arxiv.org/abs/2011.10566).
    """

    name: str
    parameters: list[nn.Parameter]
    weight_decay: bool | float = True
    lr_scale: float = 1.0
    constant_lr: bool = False


_MATRIX_TYPES = (nn.Linear, nn.Bilinear, _ConvNd)
_UNDECAYED_TYPES = (
    _NormBase,  # batch and instance norm, also synchronised
    nn.LayerNorm,
    nn.GroupNorm,
    nn.Embedding,
    nn.EmbeddingBag,
)
# Classes that libraries define themselves: RMSNorm, LayerNorm2d, BatchNormAct2d, LayerScale.
_UNDECAYED_TYPE_NAME = re.compile(r"(norm(act)?|layerscale|affine)\d*d?$", re.IGNORECASE)
# Words of a parameter's own name, in lower case, split at dots, underscores and digits.
_UNDECAYED_WORDS = frozenset(
    [
        *("bias", "biases", "token", "tokens", "register", "registers"),
        *("query", "queries", "latent", "latents", "probe"),
        *("pos", "position", "positions", "positional", "freqs"),
        *("logit", "temperature", "tau", "gamma", "gammas", "layerscale"),
    ]
)
_UNDECAYED_PAIRS = frozenset([("layer", "scale"), ("class", "embedding"), ("cls", "embedding")])


def default_parameter_groups(module: nn.Module) -> list[ParameterGroup]:
    """Split the trainable parameters into those with and those without weight decay.

    Not decayed are biases, the parameters of norms and embeddings, all vectors and scalars, class,
    mask and register tokens, learned queries, positional parameters, temperatures and layer
    scales. The class of a parameter's module takes precedence over the parameter's name: the
    weight of a linear layer called ``query`` is decayed.

    Args:
        module: Any module with parameters. Frozen parameters are skipped.

    Returns:
        The groups ``decayed`` and ``not_decayed``, in the order in which the module lists its
        parameters. Empty groups are omitted. A shared parameter appears once, and is not decayed
        if it would not be in one of its modules.

    Raises:
        ConfigError: No parameter is trainable.
    """
    parameters: dict[int, nn.Parameter] = {}
    not_decayed: set[int] = set()
    for owner, name, parameter in _owned_parameters(module):
        parameters[id(parameter)] = parameter
        if not is_decayed(owner, name, parameter):
            not_decayed.add(id(parameter))
    if not parameters:
        raise ConfigError(
            f"'{type(module).__name__}' has no trainable parameters, expected at least one; "
            "set requires_grad=True on the parts of the model that you want to train"
        )
    groups = [
        ParameterGroup("decayed", [p for key, p in parameters.items() if key not in not_decayed]),
        ParameterGroup(
            "not_decayed",
            [p for key, p in parameters.items() if key in not_decayed],
            weight_decay=False,
        ),
    ]
    return [group for group in groups if group.parameters]


def split_by_factor(
    groups: Sequence[ParameterGroup], factors: Mapping[int, float]
) -> list[ParameterGroup]:
    """Split groups so that each has one learning rate.

    Args:
        groups: Groups to split. Their other attributes are kept.
        factors: Factor on the group's learning rate by the parameter's `id`, see
            `lightly_core.parts.layer_decay`. Parameters that are not listed have the factor 1.
    """
    result: list[ParameterGroup] = []
    for group in groups:
        parts: dict[float, list[nn.Parameter]] = {}
        for parameter in group.parameters:
            parts.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)
        for factor, parameters in parts.items():
            name = group.name if factor == 1 else f"{group.name}_lr{factor:.6g}"
            lr_scale = group.lr_scale * factor
            result.append(replace(group, name=name, parameters=parameters, lr_scale=lr_scale))
    return result


def with_decay(
    groups: Sequence[ParameterGroup], module: nn.Module, decayed: Decayed
) -> list[ParameterGroup]:
    """Change which parameters are decayed. Learning rates stay the same.

    Args:
        groups: Groups of a method. They are not changed.
        module: Module that holds their parameters.
        decayed: ``method``: as the groups define it. ``all``: every parameter. ``weights``: as in
            `default_parameter_groups`. A group's factor on the decay is kept.

    Returns:
        The groups. With ``weights``, a group that holds both kinds is split.
    """
    if decayed == "method":
        return list(groups)
    undecayed = {
        id(parameter)
        for owner, name, parameter in _owned_parameters(module)
        if decayed == "weights" and not is_decayed(owner, name, parameter)
    }
    result: list[ParameterGroup] = []
    for group in groups:
        name, decay = group.name, group.weight_decay or True
        kept = [p for p in group.parameters if id(p) not in undecayed]
        rest = [p for p in group.parameters if id(p) in undecayed]
        if kept:
            own_name = name.replace("not_decayed", "also_decayed")
            result.append(replace(group, name=own_name, parameters=kept, weight_decay=decay))
        if rest:
            own_name = f"not_{name}" if name.startswith("decayed") else f"{name}_not_decayed"
            own_name = name if "not_decayed" in name else own_name
            result.append(replace(group, name=own_name, parameters=rest, weight_decay=False))
    return result


def is_decayed(owner: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Return whether a parameter is decayed by default.

    Args:
        owner: Module that holds the parameter directly.
        name: The parameter's own name, without the path to `owner`.
        parameter: Any shape.
    """
    if parameter.ndim <= 1:
        return False
    if isinstance(owner, _UNDECAYED_TYPES):
        return False
    if isinstance(owner, _MATRIX_TYPES) and name == "weight":
        return True
    if _UNDECAYED_TYPE_NAME.search(type(owner).__name__):
        return False
    # Vectors stored for broadcasting, e.g. a class token (1, 1, D) or a layer scale (D, 1, 1).
    if sum(size > 1 for size in parameter.shape) <= 1:
        return False
    return not _named_as_undecayed(name)


def _named_as_undecayed(name: str) -> bool:
    words = re.findall(r"[a-z]+", name.lower())
    pairs = pairwise(words)
    return not _UNDECAYED_WORDS.isdisjoint(words) or not _UNDECAYED_PAIRS.isdisjoint(pairs)


def _owned_parameters(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Yield owner, name and parameter, a shared parameter once for each owner."""
    for path, owner in module.named_modules():
        # The entries of a list are named 0, 1, ..., so the list's name is needed too.
        is_container = isinstance(owner, (nn.ParameterList, nn.ParameterDict))
        prefix = f"{path.rpartition('.')[2]}." if is_container else ""
        for name, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
            if parameter.requires_grad:
                yield owner, prefix + name, parameter
