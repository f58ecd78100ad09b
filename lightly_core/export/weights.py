"""Weights out of files: our checkpoints, exported models, and plain state dicts."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightly_core.errors import ConfigError
from lightly_core.protocols import ModelWrapper

log = logging.getLogger(__name__)

#: Key of a checkpoint's own entry, and in it the prefix of the exported wrapper's tensors.
CHECKPOINT_KEY = "lightly"
PREFIX_KEY = "exported_prefix"

#: Names that trainers and wrappers put in front of a model's tensors, in any combination.
WRAPPER_PREFIXES = frozenset({"module", "model", "backbone", "wrapper", "method", "_orig_mod"})

#: Keys below which files keep the tensors.
_CONTAINERS = ("state_dict", "model")


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a file.

    Attributes:
        path: The file.
        matched: Tensors of the model that were loaded.
        missing: Tensors of the model that the file does not have.
        unexpected: Tensors of the file that the model does not have.
        mismatched_shapes: Tensors with another shape in the file, not loaded: name, shape in the
            file, shape in the model.
    """

    path: Path
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched_shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def complete(self) -> bool:
        """Whether the file has exactly the tensors of the model."""
        return not (self.missing or self.unexpected or self.mismatched_shapes)

    def summary(self) -> str:
        """Return one paragraph that names up to five tensors of each kind."""
        total = len(self.matched) + len(self.missing) + len(self.mismatched_shapes)
        parts = [f"{self.path}: {len(self.matched)} of {total} tensors loaded"]
        shapes = [f"{name} {got} instead of {want}" for name, got, want in self.mismatched_shapes]
        for what, names in (
            ("not in the file", self.missing),
            ("not in the model", self.unexpected),
            ("of another shape, left as they were", shapes),
        ):
            if names:
                shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                parts.append(f"{len(names)} {what}: {shown}")
        return "; ".join(parts)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read tensors by name; nothing in the file is executed.

    Args:
        path: A ``.ckpt`` of a run (the tensors of the exported wrapper are returned), a
            ``.safetensors`` file, or what `torch.save` wrote: a state dict, or a dict that has
            one as ``state_dict`` or ``model``.

    Returns:
        Tensors on the CPU.

    Raises:
        ConfigError: There is no such file, it is damaged, or it holds more than data.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"there is no file {file}\n  check the path")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    if (exported := _exported_tensors(content)) is not None:
        return exported
    while isinstance(content, Mapping):
        inner = [content[key] for key in _CONTAINERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    tensors = _tensors(content)
    if not tensors:
        got = f"keys {_some(content)}" if isinstance(content, Mapping) else type(content).__name__
        raise ConfigError(
            f"no tensors found in {file}, got {got}"
            "\n  expected a state dict, as torch.save(model.state_dict(), file) writes it"
        )
    return tensors


def load_weights(wrapper: ModelWrapper, path: str | Path, *, strict: bool = False) -> LoadReport:
    """Load weights into a model as far as names and shapes agree.

    Heads and tensors of other shapes do not stop it. Prefixes in front of the names in the file
    (`WRAPPER_PREFIXES`) are taken off where more names agree without them.

    Args:
        wrapper: Its `get_model()` gets the weights; the wrapper itself where the file has
            tensors for more of it, such as the convolution of ``embed_dim``.
        path: See `read_weights`.
        strict: Refuse anything but a complete match.

    Returns:
        What was loaded and what was not.

    Raises:
        ConfigError: The file cannot be read, nothing in it matches, or `strict` and not all does.
    """
    tensors = read_weights(path)
    module, found = _best_target(wrapper, tensors)
    own = _tensors(module.state_dict())
    fitting = {
        name: tensor
        for name, tensor in found.items()
        if name in own and tensor.shape == own[name].shape
    }
    report = LoadReport(
        path=Path(path),
        matched=tuple(fitting),
        missing=tuple(name for name in own if name not in found),
        unexpected=tuple(name for name in found if name not in own),
        mismatched_shapes=tuple(
            (name, tuple(tensor.shape), tuple(own[name].shape))
            for name, tensor in found.items()
            if name in own and name not in fitting
        ),
    )
    if not fitting:
        raise ConfigError(
            f"no tensor of {path} fits {type(wrapper.get_model()).__name__}"
            f"\n  the file has {_some(tensors)}; the model has {_some(own)}"
            "\n  give the file of a run with the same model, or leave checkpoint out"
        )
    if strict and not report.complete:
        raise ConfigError(f"weights do not match the model exactly\n  {report.summary()}")
    module.load_state_dict(fitting, strict=False)
    log.info("Weights: %s", report.summary())
    return report


def _best_target(
    wrapper: ModelWrapper, tensors: Mapping[str, Tensor]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the module that most tensors are for, and the tensors under its names."""
    modules = [wrapper.get_model(), cast(nn.Module, wrapper)]
    # `get_model` of a wrapper written for another framework may return any object.
    candidates = [
        (module, _without_prefix(tensors, module.state_dict()))
        for module in modules
        if isinstance(module, nn.Module)
    ]
    # max() takes the first of equals: the user's own module.
    return max(candidates, key=lambda pair: len(pair[1].keys() & pair[0].state_dict().keys()))


def _without_prefix(tensors: Mapping[str, Tensor], own: Mapping[str, object]) -> dict[str, Tensor]:
    """Take off the prefix that makes most names agree with those in `own`."""
    agreeing = Counter({"": sum(name in own for name in tensors)})
    for name in tensors:
        parts = name.split(".")
        for depth, part in enumerate(parts[:-1], start=1):
            if part not in WRAPPER_PREFIXES:
                break
            if ".".join(parts[depth:]) in own:
                agreeing[".".join(parts[:depth]) + "."] += 1
    prefix = max(agreeing, key=lambda candidate: (agreeing[candidate], -len(candidate)))
    stripped = {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            stripped.setdefault(name, tensor)
    return stripped


def _exported_tensors(content: object) -> dict[str, Tensor] | None:
    """Return the exported wrapper's tensors if this is a checkpoint of ours."""
    facts = content.get(CHECKPOINT_KEY) if isinstance(content, Mapping) else None
    if not isinstance(facts, Mapping) or PREFIX_KEY not in facts:
        return None
    assert isinstance(content, Mapping)
    prefix = str(facts[PREFIX_KEY])
    return {
        name[len(prefix) :]: tensor
        for name, tensor in _tensors(content["state_dict"]).items()
        if name.startswith(prefix)
    }


def _read_torch(file: Path) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What is no pickle at all stops at its first byte, an "operand" that does not exist.
        if "Unsupported operand" in str(error):
            reason = ValueError("it was not written by torch.save")
            raise ConfigError(_unreadable(file, reason)) from error
        raise ConfigError(
            f"{file} holds pickled Python objects, not only tensors; loading it could run any "
            "code, so it is refused\n  where you trust the file, load it yourself and save "
            "its tensors: torch.save(model.state_dict(), new_file)"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ConfigError(_unreadable(file, error)) from error


def _read_safetensors(file: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(_unreadable(file, error)) from error


def _unreadable(file: Path, error: Exception) -> str:
    reason = str(error).partition("\n")[0]
    return (
        f"{file} cannot be read: {type(error).__name__}: {reason}"
        "\n  expected a checkpoint (.ckpt), an exported model (.pt, .safetensors) or a state dict"
    )


def _tensors(content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _some(names: Mapping[Any, object]) -> str:
    return ", ".join(map(str, list(names)[:3])) + (", ..." if len(names) > 3 else "")
