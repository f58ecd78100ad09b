"""Python code that loads an exported file with torch and timm only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightly_dinov3.models import Model

_LOAD = "model.load_state_dict(checkpoint_filter_fn(tensors, model), strict=True)"

# Older versions of timm do not know the second name.
_ONE_NORM = [
    "# Meta's code has the last norm under two names.",
    "tensors = {k: v for k, v in state_dict.items() if not k.startswith('norms.')}",
]


def snippet_for_name(model: Model, arguments: Mapping[str, object], file: Path) -> str:
    """Return code for a model that has a name.

    Args:
        model: The entry of the table of models.
        arguments: All arguments of timm's constructor.
        file: What `lightly_dinov3.library.DINOv3Library.save` wrote.
    """
    given = ", ".join([repr(model.timm_name), *(f"{k}={v!r}" for k, v in arguments.items())])
    family = "convnext" if model.is_convnext else "eva"
    start = [
        "import timm",
        "import torch",
        f"from timm.models.{family} import checkpoint_filter_fn",
        "",
        f"model = timm.create_model({given})",
        _read(file),
    ]
    if model.is_convnext:
        return "\n".join([*start, *_ONE_NORM, _LOAD])
    return "\n".join(
        [
            *start,
            "tensors = dict(state_dict)",
            _LOAD,
            "# The rotary embedding's periods, which timm keeps out of its state dict:",
            "model.rope.periods.copy_(state_dict['rope_embed.periods'])",
        ]
    )


def snippet_for_module(file: Path) -> str:
    """Return code for a module that the user built; it finds out which family that is.

    Args:
        file: As in `snippet_for_name`.
    """
    return "\n".join(
        [
            "import sys",
            "import torch",
            "",
            "# model: built in the same way as for the run",
            "checkpoint_filter_fn = sys.modules[type(model).__module__].checkpoint_filter_fn",
            _read(file),
            *_ONE_NORM,
            _LOAD,
            "if 'rope_embed.periods' in state_dict:  # timm keeps them out of its state dict",
            "    model.rope.periods.copy_(state_dict['rope_embed.periods'])",
        ]
    )


def hub_lines(model: Model) -> str:
    """Return comments that say how Meta's own code loads the file; empty where it cannot.

    Args:
        model: The entry of the table of models.
    """
    if model.hub_name is None:
        return ""
    call = f"'facebookresearch/dinov3', {model.hub_name!r}, pretrained=False"
    return "\n".join(
        [
            "\n",
            "# The file is in Meta's layout, so their own code loads it as well:",
            f"# model = torch.hub.load({call})",
            "# model.load_state_dict(state_dict, strict=True)",
        ]
    )


def _read(file: Path) -> str:
    return f"state_dict = torch.load({str(file)!r}, map_location='cpu', weights_only=True)"
