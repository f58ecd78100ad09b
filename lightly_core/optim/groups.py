"""Which parameters are trained alike, and which of them are decayed."""

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
        name: Shown in logs; unique within a run.
        parameters: The parameters, each in no other group.
        weight_decay: Whether they are decayed, or a factor on the run's weight decay. LARS also
            gives no trust ratio to a group that is not decayed: it takes plain SGD steps.
        lr_scale: Factor on the run's learning rate, > 0.
        constant_lr: Keep the peak learning rate: no warm-up and no decay (SimSiam's predictor,
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
# What libraries define themselves: RMSNorm, LayerNorm2d, BatchNormAct2d, LayerScale.
_UNDECAYED_TYPE_NAME = re.compile(r"(norm(act)?|layerscale|affine)\d*d?$", re.IGNORECASE)
# A parameter's own name, in lower case, cut into words at dots, underscores and digits.
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

    Left out of the decay are biases, the parameters of norms and embeddings, all vectors and
    scalars, class, mask and register tokens, learned queries, positional parameters, temperatures
    and layer scales. What a parameter's module is counts first (the weight of a linear layer that
    is called ``query`` is decayed), the parameter's name second.

    Args:
        module: Anything with parameters; frozen ones are passed over.

    Returns:
        The groups ``decayed`` and ``not_decayed``, in the order in which the module lists its
        parameters; a group without parameters is left out. A shared parameter appears once, and
        is not decayed if one of its owners says so.

    Raises:
        ConfigError: Nothing is trainable.
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
            "set requires_grad=True on the parts of the model that are to be trained"
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
        groups: To be split; what they say is kept.
        factors: Factor on the group's learning rate by the parameter's `id`, see
            `lightly_core.parts.layer_decay`; 1 for those that are not named.
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
    """Say anew which parameters are decayed; learning rates stay as they are.

    Args:
        groups: Of a method; not changed.
        module: Holds their parameters.
        decayed: ``method``: those that the groups say; ``all``: every one; ``weights``: those of
            `default_parameter_groups`. A factor on the decay is kept where a group has one.

    Returns:
        The groups; for ``weights`` one that holds both kinds is split.
    """
    if decayed == "method":
        return list(groups)
    left_out = {
        id(parameter)
        for owner, name, parameter in _owned_parameters(module)
        if decayed == "weights" and not is_decayed(owner, name, parameter)
    }
    result: list[ParameterGroup] = []
    for group in groups:
        name, decay = group.name, group.weight_decay or True
        kept = [p for p in group.parameters if id(p) not in left_out]
        rest = [p for p in group.parameters if id(p) in left_out]
        if kept:
            own_name = name.replace("not_decayed", "also_decayed")
            result.append(replace(group, name=own_name, parameters=kept, weight_decay=decay))
        if rest:
            own_name = f"not_{name}" if name.startswith("decayed") else f"{name}_not_decayed"
            own_name = name if "not_decayed" in name else own_name
            result.append(replace(group, name=own_name, parameters=rest, weight_decay=False))
    return result


def is_decayed(owner: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Tell whether weight decay is right for a parameter.

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
    """Yield owner, name and parameter; a shared parameter comes once for each owner."""
    for path, owner in module.named_modules():
        # The entries of a list are called 0, 1, ...: what they are says the list's name.
        is_container = isinstance(owner, (nn.ParameterList, nn.ParameterDict))
        prefix = f"{path.rpartition('.')[2]}." if is_container else ""
        for name, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
            if parameter.requires_grad:
                yield owner, prefix + name, parameter
