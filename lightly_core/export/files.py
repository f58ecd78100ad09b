"""The files that the user takes away, and the lines that load them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from lightly_core import __version__
from lightly_core.atomic import atomic_path
from lightly_core.models.wrapping import BuiltModel
from lightly_core.parts.state import portable_state_dict
from lightly_core.protocols import ModelWrapper


def export_model(
    built: BuiltModel,
    exported: ModelWrapper,
    folder: Path,
    stem: str,
    metadata: Mapping[str, str],
) -> list[Path]:
    """Write a backbone in the format of its library and as safetensors.

    Each file appears complete or not at all.

    Args:
        built: The model of the run.
        exported: The wrapper to write: that of `built`, or an average of its past weights.
        folder: Where to write; it is made if missing.
        stem: File name without ending, for example ``exported_last``.
        metadata: Stored in the safetensors file: method, normalisation, ...

    Returns:
        ``<stem>.pt`` and ``<stem>.safetensors``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = exported.get_model()
    native = folder / f"{stem}.pt"
    plain = folder / f"{stem}.safetensors"
    information = {
        "format": "pt",  # Libraries that read safetensors ask for it.
        "lightly_core_version": __version__,
        "model": built.name or type(module).__name__,
        "num_input_channels": str(built.num_input_channels),
        **metadata,
    }
    save = _save_state_dict if built.library is None else built.library.save
    with atomic_path(native) as temporary:
        save(module, temporary)
    with atomic_path(plain) as temporary:
        save_file(portable_state_dict(module), temporary, metadata=information)
    return [native, plain]


def snippet(built: BuiltModel, file: Path) -> str:
    """Return Python code, ready to run, that loads an exported ``.pt`` file into ``model``.

    Args:
        built: The model of the run.
        file: The ``.pt`` that `export_model` wrote.
    """
    if built.library is not None:
        return built.library.snippet(
            built.short_name,
            num_input_channels=built.num_input_channels,
            model_args=built.model_args,
            file=file,
        )
    return "\n".join(
        [
            "import torch",
            "",
            "# wrapper: your own wrapper, built in the same way as for the run",
            "model = wrapper.get_model()",
            f"state_dict = torch.load({str(file)!r}, map_location='cpu', weights_only=True)",
            "model.load_state_dict(state_dict, strict=True)",
        ]
    )


def _save_state_dict(module: nn.Module, path: Path) -> None:
    torch.save(portable_state_dict(module), path)
