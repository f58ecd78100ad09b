"""Read tensors from checkpoints, exported models, state dicts and pickled modules."""

from __future__ import annotations

import logging
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lightly_core.checksum import damage_of, is_sealed
from lightly_core.errors import ConfigError
from lightly_core.exporting.shells import Shell, load_inert, module_tensors

log = logging.getLogger(__name__)

#: Key of a checkpoint's own entry, and in it the prefix of the exported wrapper's tensors.
CHECKPOINT_KEY = "lightly"
PREFIX_KEY = "exported_prefix"

#: Keys under which files keep the tensors, in order of preference. Averaged weights come first,
#: as training scripts evaluate and publish them. A student comes late.
CONTAINERS = (
    "ema",
    "model_ema",
    "state_dict_ema",
    "teacher",
    "state_dict",
    "model",
    "model_state_dict",
    "student",
    "net",
    "module",
)

# Deeper than any usual file. A limit, since a pickle can contain itself.
_MAX_DEPTH = 5

_EXPECTED = "expected a checkpoint (.ckpt), an exported model (.pt, .safetensors) or a state dict"


def read_weights(path: str | Path, *, pickled_modules: Sequence[str] = ()) -> dict[str, Tensor]:
    """Read tensors by name; nothing in the file is executed, whatever it holds.

    Whole modules, as ``torch.save(model, file)`` writes them, are read too where all that the
    file names is in ``torch.nn``, in `pickled_modules` or plain data such as
    ``argparse.Namespace``. Their classes are neither imported nor built: the tensors are taken
    from the data, see `lightly_core.exporting.shells`.

    Args:
        path: A ``.ckpt`` of a run (the tensors of the exported wrapper are returned), a
            safetensors file, or what `torch.save` wrote: a module, a state dict, or a dict that
            has one of them below a key of `CONTAINERS`; the first one that holds tensors is
            taken.
        pickled_modules: Top-level modules whose classes the file may name, such as
            ``("ultralytics",)``; see `lightly_core.contracts.ModelLibrary`.

    Returns:
        Tensors on the CPU. Modules in half precision come as float32; other tensors as they are.

    Raises:
        ConfigError: There is no such file, it is damaged, it is not a file of weights, or it names
            classes or functions that are not allowed.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(_no_file(path, file))
    content = _read(file, pickled_modules)
    if (exported := _exported_tensors(content)) is not None:
        return exported
    tensors, keys = _find(content)
    if not tensors:
        got = f"keys {some(content)}" if isinstance(content, Mapping) else _kind(content)
        raise ConfigError(
            f"no tensors found in {file}, got {got}"
            "\n  expected a state dict, as torch.save(model.state_dict(), file) writes it"
        )
    empty = [name for name, tensor in tensors.items() if tensor.is_meta]
    if empty:
        raise ConfigError(
            f"{len(empty)} of {len(tensors)} tensors of {file} have no values, as they were saved "
            f"from the meta device: {', '.join(empty[:3])}{', ...' * (len(empty) > 3)}"
            "\n  save them again from a model that has its weights"
        )
    if keys and isinstance(content, Mapping):
        others = [key for key in CONTAINERS if content.get(key) is not None and key != keys[0]]
        if others:
            log.info("%s: taking '%s', leaving '%s'", file, keys[0], "', '".join(others))
    return tensors


def _no_file(given: str | Path, file: Path) -> str:
    if "://" in str(given):
        return f"'{given}' is an address, expected a local file\n  download it, and give its path"
    if file.is_dir():
        return f"{file} is a folder\n  give a file in it"
    if file.exists():
        return f"{file} is a pipe, a socket or a device, expected a file of weights"
    return f"there is no file {file}\n  check the path"


def only_tensors(content: object) -> dict[str, Tensor]:
    """Return the entries of a mapping that are tensors; an empty dict for other objects."""
    if not isinstance(content, Mapping):
        return {}
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def some(names: Mapping[Any, object]) -> str:
    """Name the first keys, for messages."""
    return ", ".join(map(str, list(names)[:3])) + (", ..." if len(names) > 3 else "")


def _find(content: object, depth: int = 0) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors, and the keys under which they were found."""
    if isinstance(content, Shell):
        return module_tensors(content), ()
    if not isinstance(content, Mapping) or depth > _MAX_DEPTH:
        return {}, ()
    for key in CONTAINERS:
        tensors, below = _find(content.get(key), depth + 1)
        if tensors:
            return tensors, (key, *below)
    return only_tensors(content), ()


def _exported_tensors(content: object) -> dict[str, Tensor] | None:
    """Return the exported wrapper's tensors if this is a checkpoint of a run."""
    facts = content.get(CHECKPOINT_KEY) if isinstance(content, Mapping) else None
    if not isinstance(facts, Mapping) or PREFIX_KEY not in facts:
        return None
    assert isinstance(content, Mapping)
    prefix = str(facts[PREFIX_KEY])
    return {
        name[len(prefix) :]: tensor
        for name, tensor in only_tensors(content.get("state_dict")).items()
        if name.startswith(prefix)
    }


def _read(file: Path, pickled_modules: Sequence[str]) -> object:
    with file.open("rb") as stream:
        head = stream.read(512)
    _refuse_other_kinds(file, head)
    # Safetensors: eight bytes with the length of a JSON text, then the text.
    if file.suffix == ".safetensors" or head[8:10] == b'{"':
        return _read_safetensors(file)
    try:
        return load_inert(file, pickled_modules)
    except ConfigError:
        raise
    except Exception as error:  # a damaged file can end in any error
        raise ConfigError(f"{file} cannot be read: {_why(error, head)}\n  {_EXPECTED}") from error


def _why(error: Exception, head: bytes) -> str:
    """Return the problem of a file that `torch.save` did not write."""
    if _is_text(head):
        return "it is a text"
    if isinstance(error, pickle.UnpicklingError):
        # A file that is not a pickle fails at its first byte, an unknown "operand".
        foreign = "Unsupported operand" in str(error)
        return "torch.save did not write it in its usual format" if foreign else "it is damaged"
    return _first_line(error)


def _read_safetensors(file: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{file} cannot be read: {_first_line(error)}\n  {_EXPECTED}") from error


def _refuse_other_kinds(file: Path, head: bytes) -> None:
    """Raise for files that are often given by mistake. The error names the remedy."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        problem = "it is empty\n  download or save it again"
    elif head.startswith(b"version https://git-lfs"):
        problem = (
            "it is a pointer of git LFS, not the file itself"
            "\n  run `git lfs pull` in its repository"
        )
    elif text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")):
        problem = (
            "it looks like a web page, not like weights: what a server answers when a link has "
            "expired or needs a login\n  get a new link and download the file again"
        )
    elif file.suffix.lower() == ".onnx":
        problem = f"it is an ONNX graph, which cannot be trained\n  {_EXPECTED}"
    elif head.startswith(b"PK\x03\x04"):
        problem = _problem_of_zip(file)
    else:
        return
    if problem:
        raise ConfigError(f"{file} cannot be read: {problem}")


def _is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are text."""
    try:
        text = head[:500].decode("utf-8-sig")
    except UnicodeDecodeError as error:  # a character cut off at the end is not an error
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8-sig")
    return all(letter.isprintable() or letter in "\r\n\t" for letter in text)


def _problem_of_zip(file: Path) -> str:
    """Return the problem of a zip archive, an empty text if `torch.save` may have written it."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "it is cut off or damaged\n  download or save it again"
    if is_sealed(file) and (damage := damage_of(file)):
        return f"{damage}\n  take another file of the run, or one that was exported"
    if any(name.endswith("/constants.pkl") for name in names):
        return (
            "it is a TorchScript archive, which holds a program"
            "\n  where you trust it, save its tensors: "
            "torch.save(torch.jit.load(file).state_dict(), new_file)"
        )
    if not any(name.endswith("data.pkl") for name in names):
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return (
            f"it is a zip archive that torch.save did not write; it holds {shown or 'nothing'}"
            f"\n  where the weights are inside, unpack it and give their path; {_EXPECTED}"
        )
    return ""


def _first_line(error: Exception) -> str:
    reason = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {reason}"


def _kind(content: object) -> str:
    kind = type(content)
    return (
        f"a pickled {kind.__module__}.{kind.__name__}"
        if isinstance(content, Shell)
        else (kind.__name__)
    )
