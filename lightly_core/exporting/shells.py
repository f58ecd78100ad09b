"""Read files with pickled objects without running code of the file or of a library.

Unpickling calls whatever the file names. torch's restricted loader calls only what is on a list.
But even trusted classes on this list would run their constructors on arguments from the file, and
some libraries evaluate such arguments as code. So only empty shells are put on the list: classes
created here, under the names in the file, that keep an object's attributes and do nothing. The
tensors are then collected from the attributes, where `torch.nn.Module` keeps them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from lightly_core.errors import ConfigError

#: Modules of torch whose classes and functions may be named in a file.
_TORCH_MODULES = ("torch.nn.", "torch._C._nn.")

#: Plain data that training scripts save with the weights. It is never built or called.
_PLAIN_NAMES = frozenset(
    {
        *("argparse.Namespace", "types.SimpleNamespace", "functools.partial"),
        *("builtins.getattr", "builtins.slice", "builtins.range"),
        *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath")),
        *(f"pathlib._local.{name}" for name in ("Path", "PosixPath", "WindowsPath")),
        *("numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar"),
        *("numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct"),
        "numpy._core.multiarray._reconstruct",
    }
)

#: What torch's restricted loader accepts by itself, in addition to torch's own names.
_KNOWN_TO_TORCH = frozenset(
    {
        *("collections.OrderedDict", "collections.Counter", "_codecs.encode"),
        *("builtins.bytearray", "builtins.set", "builtins.complex"),
        "torch.nn.parameter.Parameter",
    }
)

_PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

# torch keeps one list of safe classes for the whole process.
_LOCK = threading.RLock()


class Shell:
    """An object from a file: its attributes, without its class.

    Attributes:
        state: The argument of the object's ``__setstate__``.
    """

    __slots__ = ("state",)

    state: object

    def __new__(cls, *args: object) -> Shell:
        """Ignore the arguments of the object's constructor."""
        shell = object.__new__(cls)
        shell.state = {}
        return shell

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        # Objects with slots have a pair: attributes, slots.
        self.state = state[0] if isinstance(state, tuple) and len(state) == 2 else state


def load_inert(file: Path, pickled_modules: Sequence[str] = ()) -> object:
    """Read what `torch.save` wrote, with a `Shell` in place of every object that is not plain data.

    Args:
        file: A file of `torch.save`, of either format.
        pickled_modules: Top-level modules that the file may name, in addition to ``torch.nn``.

    Returns:
        Tensors on the CPU, dicts, lists, numbers, and shells.

    Raises:
        ConfigError: The file names something else.
        pickle.UnpicklingError: The file is damaged.
        Exception: Other errors of damaged files, of any class.
    """
    try:
        with _only_safe([]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        names = {name for name in _names_in(file) if not _is_known(name)}
        if not names and "GLOBAL" not in str(error):
            raise
        refused = {name for name in names if not _is_allowed(name, pickled_modules)}
        if refused or not names:
            raise _refusal(file, refused) from error
    try:
        with _only_safe([_shell_class(name) for name in sorted(names)]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(file, names) from error


def module_tensors(module: Shell) -> dict[str, Tensor]:
    """Collect what the `state_dict` of a pickled `torch.nn.Module` would hold.

    Args:
        module: Its shell.

    Returns:
        Parameters and persistent buffers by name, in the order of a state dict; half precision is
        converted to float32, since files use half precision only to save space. Empty for objects
        that are not modules.
    """
    found: dict[str, Tensor] = {}
    _collect(module, "", found, set())
    return found


def _collect(module: object, prefix: str, found: dict[str, Tensor], parents: set[int]) -> None:
    # A module cannot contain itself. In a file it can, and the recursion would not end.
    if not isinstance(module, Shell) or id(module) in parents:
        return
    state = module.state if isinstance(module.state, Mapping) else {}
    temporary = state.get("_non_persistent_buffers_set")
    skipped = temporary if isinstance(temporary, set) else set()
    for kind in ("_parameters", "_buffers"):
        for name, tensor in _entries(state, kind):
            if isinstance(tensor, Tensor) and not (kind == "_buffers" and name in skipped):
                small = tensor.dtype in (torch.float16, torch.bfloat16)
                found[prefix + name] = tensor.detach().float() if small else tensor.detach()
    for name, child in _entries(state, "_modules"):
        _collect(child, f"{prefix}{name}.", found, parents | {id(module)})


def _entries(state: Mapping[object, object], key: str) -> Iterator[tuple[str, object]]:
    entries = state.get(key)
    if isinstance(entries, Mapping):
        yield from ((str(name), value) for name, value in entries.items())


def _shell_class(full_name: str) -> type:
    """Create a class that torch's loader uses in place of the one of this name."""
    module, _, name = full_name.rpartition(".")
    attributes = {"__module__": module, "__qualname__": name, "__slots__": ()}
    return type(name, (Shell,), attributes)


def _is_allowed(name: str, pickled_modules: Sequence[str]) -> bool:
    root = name.partition(".")[0]
    return name in _PLAIN_NAMES or name.startswith(_TORCH_MODULES) or root in pickled_modules


def _is_known(name: str) -> bool:
    """Return whether torch's loader decides: types, storages, functions that create tensors."""
    torchs_own = name.startswith("torch.") and not name.startswith(_TORCH_MODULES)
    return name in _KNOWN_TO_TORCH or torchs_own


def _names_in(file: Path) -> set[str]:
    """Return the full names of all classes and functions that a file of `torch.save` names."""
    names: set[str] = set()
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for member in archive.namelist():
                    if member.endswith("data.pkl"):
                        names |= _names_in_pickle(io.BytesIO(archive.read(member)))
        else:
            with file.open("rb") as stream:
                for _ in range(4):  # the old format: two numbers, the system, the object
                    names |= _names_in_pickle(stream)
    except (ValueError, zipfile.BadZipFile):
        return set()  # damaged; the caller raises a more precise error
    return names


def _names_in_pickle(stream: BinaryIO) -> set[str]:
    names = set()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            names.add(f"{_PYTHON_2_MODULES.get(module, module)}.{name}")
    return names


def _refusal(file: Path, names: set[str]) -> ConfigError:
    shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
    named = f" ({shown})" if names else ""
    remedy = (
        "where you trust the file, load it yourself and save its tensors: "
        "torch.save(model.state_dict(), new_file)"
    )
    if any(name.startswith("lightly_train.") for name in names):
        remedy = (
            "it is a checkpoint of LightlyTrain: give exported_models/exported_last.pt of its run "
            "as checkpoint, and model=LIBRARY/NAME"
        )
    return ConfigError(
        f"{file} holds pickled Python objects, not only tensors{named}; loading it could run "
        f"any code, so it is refused\n  {remedy}"
    )


@contextmanager
def _only_safe(shells: list[type]) -> Iterator[None]:
    """Put only these shells on the list of torch's loader, and restore the list afterwards.

    Some libraries add their real classes under the same names. In the meantime, a load in another
    thread that needs an entry of the list fails.
    """
    with _LOCK:
        before = get_safe_globals()
        if not (before or shells):
            yield
            return
        clear_safe_globals()
        # Sets of buffer names; not known to the loader of every version.
        add_safe_globals([set, *shells])
        try:
            yield
        finally:
            # What another thread added meanwhile stays.
            added = [entry for entry in get_safe_globals() if entry not in (set, *shells)]
            clear_safe_globals()
            add_safe_globals([*before, *added])
