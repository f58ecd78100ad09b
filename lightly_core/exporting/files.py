"""Write the exported files, and the code that loads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lightly_core.atomic import atomic_path
from lightly_core.contracts import ModelWrapper
from lightly_core.exporting.snippets import loading_code
from lightly_core.models.custom import CustomWrapper
from lightly_core.models.embedding import EmbeddingWrapper
from lightly_core.models.unwrapping import unwrapped
from lightly_core.models.wrapping import BuiltModel
from lightly_core.parts.files import save_torch
from lightly_core.parts.state import portable_state_dict
from lightly_core.version import __version__


def export_model(
    built: BuiltModel,
    exported: ModelWrapper,
    folder: Path,
    stem: str,
    metadata: Mapping[str, str],
) -> list[Path]:
    """Write a backbone in the format of its library and as safetensors.

    With ``embed_dim`` its linear layer is written to a separate file. So the other files load
    strictly into the user's model. The separate file has ``weight`` (E, D) and ``bias`` (E,) of the
    `torch.nn.Linear` that is applied to the pooled features (B, D), and to the features at every
    position.

    Each file appears complete or not at all.

    Args:
        built: The model of the run.
        exported: The wrapper to write: that of `built`, or an average of its past weights, or an
            `EmbeddingWrapper` around it.
        folder: Where to write. Created if missing.
        stem: File name without ending, for example ``exported_last``.
        metadata: Stored in the safetensors file: method, normalisation, ...

    Returns:
        ``<stem>.pt``, ``<stem>.safetensors`` and, with ``embed_dim``,
        ``<stem>.embedding.safetensors``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = unwrapped(exported.get_model())
    native = folder / f"{stem}.pt"
    plain = folder / f"{stem}.safetensors"
    information = {
        "format": "pt",  # Some libraries require it.
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
    embedding = _embedding_file(native)
    if not isinstance(exported, EmbeddingWrapper):
        embedding.unlink(missing_ok=True)  # A file of an earlier model.
        return [native, plain]
    layer = portable_state_dict(exported.embed)
    layer["weight"] = layer["weight"].flatten(1)  # (E, D)
    with atomic_path(embedding) as temporary:
        save_file(layer, temporary, metadata=information)
    return [native, plain, embedding]


def snippet(built: BuiltModel, file: Path) -> str:
    """Return Python code, ready to run, that loads an exported ``.pt`` file into ``model``.

    Where `export_model` wrote the layer of ``embed_dim`` too, it is loaded into ``embed``.

    Args:
        built: The model of the run.
        file: The ``.pt`` that `export_model` wrote.
    """
    if built.library is not None:
        code = built.library.snippet(
            built.short_name,
            num_input_channels=built.num_input_channels,
            model_args=built.model_args,
            file=file,
        )
    else:
        code = _snippet_for_own_module(built, file)
    embedding = _embedding_file(file)
    return f"{code}\n\n{_snippet_for_embedding(embedding)}" if embedding.is_file() else code


def _snippet_for_own_module(built: BuiltModel, file: Path) -> str:
    if isinstance(built.wrapper, CustomWrapper):
        return loading_code(
            file, model=("# model: your own module, built in the same way as for the run",)
        )
    return loading_code(
        file,
        model=(
            "# wrapper: your own wrapper, built in the same way as for the run",
            "model = wrapper.get_model()",
        ),
    )


def _snippet_for_embedding(file: Path) -> str:
    with safe_open(file, framework="pt") as opened:
        embed_dim, dim = opened.get_slice("weight").get_shape()
    return "\n".join(
        [
            "import safetensors.torch",
            "import torch",
            "",
            f"# embed_dim: from the model's pooled features (B, {dim}) to (B, {embed_dim})",
            f"embed = torch.nn.Linear({dim}, {embed_dim})",
            f"embed.load_state_dict(safetensors.torch.load_file({str(file)!r}))",
        ]
    )


def _embedding_file(native: Path) -> Path:
    return native.with_suffix(".embedding.safetensors")


def _save_state_dict(module: nn.Module, path: Path) -> None:
    save_torch(portable_state_dict(module), path)
