"""The files that the user takes away, and the lines that load them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lightly_core import __version__
from lightly_core.models.wrapping import BuiltModel
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
    _write(native, lambda path: save(module, path))
    _write(plain, lambda path: save_file(_separate_tensors(module), path, metadata=information))
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


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """Write to another name in the same folder first, then rename."""
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _save_state_dict(module: nn.Module, path: Path) -> None:
    torch.save(module.state_dict(), path)


def _separate_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the state dict with every tensor whole and on its own, as safetensors wants it."""
    separate: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            continue
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return separate
