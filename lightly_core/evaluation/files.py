"""Finds the file of a finished network and reads its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from lightly_core.contracts import ModelWrapper
from lightly_core.errors import ConfigError
from lightly_core.exporting.reading import CHECKPOINT_KEY
from lightly_core.exporting.shells import load_inert
from lightly_core.models.embedding import EmbeddingWrapper

_LAST = "exported_last.safetensors"
_FILE_ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class ModelFile:
    """A file that a run wrote.

    Attributes:
        path: Where the weights are read from: ``.safetensors`` or ``.ckpt``.
        native: The ``.pt`` in the layout of the model's library; None for a checkpoint.
        facts: Metadata of the file, see `lightly_core.engine.build.metadata`.
        is_checkpoint: Whether it is a ``.ckpt``.
    """

    path: Path
    native: Path | None
    facts: Mapping[str, str] = field(default_factory=dict)
    is_checkpoint: bool = False

    def model_name(self) -> str:
        """Return the model name of the network.

        Raises:
            ConfigError: The network is the user's own module, which has no name.
        """
        name = self.facts.get("model", "")
        if "/" not in name:
            raise ConfigError(
                f"'{self.path}' holds the weights of {name or 'an unnamed network'}, which was "
                "passed as a Python object; pass it again as model, and this file as checkpoint"
            )
        return name

    @property
    def has_layer(self) -> bool:
        """Whether the file itself holds the layer of ``embed_dim``, as `lightly export` writes."""
        return self.facts.get("part") == "embedding_model"

    def load_embedding(self, wrapper: ModelWrapper) -> None:
        """Load the layer of ``embed_dim``.

        Raises:
            ConfigError: The file of the layer is missing.
        """
        assert isinstance(wrapper, EmbeddingWrapper)
        if self.is_checkpoint or self.has_layer:
            from lightly_core.exporting.weights import load_weights

            load_weights(wrapper, self.path)
            return
        file = self.path.with_suffix(".embedding.safetensors")
        if not file.is_file():
            raise ConfigError(
                f"'{self.path}' was trained with embed_dim={self.facts['embed_dim']}, but "
                f"'{file.name}' is not in the same folder; copy it there"
            )
        tensors = load_file(file)
        tensors["weight"] = tensors["weight"][:, :, None, None]
        wrapper.embed.load_state_dict(tensors)


def find_model_file(model: str) -> ModelFile | None:
    """Return the file that the setting `model` refers to; None for a model's name.

    Args:
        model: A run folder, whose last export is used, a file, or a name.

    Raises:
        ConfigError: The value is a path, but there is no finished network.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return _of_file(path)
    if path.suffix in _FILE_ENDINGS or model.startswith(("/", "./", "../", "~")):
        raise ConfigError(f"config.model: there is no file or folder '{model}'\n  check the path")
    return None


def find_described_file(checkpoint: str) -> ModelFile | None:
    """Return the file of the setting `checkpoint`; None if it has no metadata of a run.

    Args:
        checkpoint: A file of weights, not necessarily from a run.
    """
    path = Path(checkpoint).expanduser()
    try:
        return _of_file(path) if path.is_file() else None
    except ConfigError:
        return None


def _of_folder(folder: Path) -> ModelFile:
    for candidate in (folder / "exported_models" / _LAST, folder / _LAST):
        if candidate.is_file():
            return _of_file(candidate)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    remedy = f"\n  it has a checkpoint: give '{checkpoint}'" if checkpoint.is_file() else ""
    raise ConfigError(
        f"config.model: '{folder}' has no exported_models/{_LAST}; expected the `out` of a run "
        f"that has exported its model, or a file{remedy}"
    )


def _of_file(path: Path) -> ModelFile:
    if path.suffix == ".ckpt":
        return ModelFile(path, None, _checkpoint_facts(path), is_checkpoint=True)
    if path.suffix == ".safetensors":
        facts = _safetensors_facts(path)
    else:
        facts = _safetensors_facts(path.with_suffix(".safetensors"), required_by=path)
        path = path.with_suffix(".safetensors")
    if "lightly_core_version" not in facts and "lightly_core" not in facts:
        raise ConfigError(
            f"config.model: '{path}' does not contain the name of its network; give "
            "model=LIBRARY/NAME and this file as checkpoint"
        )
    native = path.with_suffix(".pt")
    return ModelFile(path, native if native.is_file() else None, facts)


def _safetensors_facts(path: Path, required_by: Path | None = None) -> Mapping[str, str]:
    if required_by is not None and not path.is_file():
        raise ConfigError(
            f"config.model: '{required_by}' does not contain the name of its network, and "
            f"'{path.name}' is not in the same folder; give model=LIBRARY/NAME and this file as "
            "checkpoint"
        )
    try:
        with safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"config.model: '{path}' cannot be read: {error}\n  expected an exported model"
        ) from error


def _checkpoint_facts(path: Path) -> Mapping[str, str]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        metadata = content[CHECKPOINT_KEY]["metadata"]
    except (LookupError, TypeError) as error:
        raise ConfigError(
            f"config.model: '{path}' is no checkpoint of a run; give model=LIBRARY/NAME and this "
            "file as checkpoint"
        ) from error
    except Exception as error:  # a damaged or foreign file can raise any error
        _refuse_pickles(path)
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"config.model: '{path}' cannot be read: {type(error).__name__}: {reason}\n  expected "
            "a checkpoint of a run"
        ) from error
    return {str(key): str(value) for key, value in metadata.items()}


def _refuse_pickles(path: Path) -> None:
    """Raise the error of a file with pickled objects, which names them and the remedy."""
    try:
        load_inert(path)
    except ConfigError as error:
        raise ConfigError(f"config.model: {error}") from error
    except Exception:  # it is damaged, as the caller says
        return
