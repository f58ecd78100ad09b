"""Checks of the settings `data` and `val_data` that need no heavy import and read no folder."""

from __future__ import annotations

import glob
import os
import re
import sys
from pathlib import PurePath

from lightly_core.config.options.fields import value_name
from lightly_core.config.options.settings import PythonObject, RunConfig
from lightly_core.data.endings import (
    LIST_SUFFIXES,
    SPECIAL,
    endings,
    is_image_name,
    suffix,
    what_to_install,
)
from lightly_core.data.names import shown
from lightly_core.data.paths import is_glob
from lightly_core.data.source_text import names_source, source_problems, unknown_scheme, what_opens
from lightly_core.errors import near_names

BUILTIN_PREFIX = "builtin:"
#: Names after the prefix.
BUILTIN_NAMES = ("digits",)
_EXPECTED = (
    "expected a folder, a list of folders and files, a glob, a text file of paths "
    f"({', '.join(LIST_SUFFIXES)}), '{BUILTIN_PREFIX}{BUILTIN_NAMES[0]}', the text of a data "
    "source, or in Python a torch Dataset"
)
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
#: Folders in which the operating system exposes its state. Shared memory is the exception.
_SYSTEM_FOLDERS = ("/proc/", "/sys/", "/dev/")
_SHARED_MEMORY = "/dev/shm/"
_SHOWN = 5


def check_data(run: RunConfig) -> list[str]:
    """Return the problems of `data` and `val_data`, one text each.

    Folders are not searched. Only `open_source` finds out whether they hold images.
    """
    problems = [f"config.data: {problem}" for problem in data_problems(run.data)]
    if run.val_data is not None:
        problems += [f"config.val_data: {problem}" for problem in data_problems(run.val_data)]
        if not problems and identity(run.val_data) == identity(run.data):
            problems.append(
                "config.val_data: got the same images as data, so each would be its own nearest "
                "neighbour; give other images, or remove val_data: a fifth of data is then "
                "classified by the rest (set callbacks.knn.every_n_epochs to choose how often)"
            )
        elif not problems and (shared := shared_path(run.data, run.val_data)):
            problems.append(
                f"config.val_data: the images in '{shown(shared)}' are in data too, so each would "
                "be its own nearest neighbour; give folders that do not contain each other"
            )
    return problems


def identity(data: str | list[str] | PythonObject) -> object:
    """Return a value that is equal for two settings only if they mean the same images."""
    if isinstance(data, PythonObject):
        return id(data.value)
    elements = [data] if isinstance(data, str) else data
    if any(element.startswith(BUILTIN_PREFIX) or names_source(element) for element in elements):
        return sorted(elements)
    return sorted(os.path.realpath(os.path.expanduser(element)) for element in elements)


def shared_path(
    data: str | list[str] | PythonObject, other: str | list[str] | PythonObject
) -> str | None:
    """Return a folder or file that belongs to both settings, judged by the paths alone."""
    paths, others = identity(data), identity(other)
    if not isinstance(paths, list) or not isinstance(others, list):
        return None
    return _inside(others, paths) or _inside(paths, others)


def _inside(elements: list[str], folders: list[str]) -> str | None:
    """Return the first element that is one of `folders` or lies in one of them."""
    known = set(folders)
    for element in elements:
        for outer in (element, *map(str, PurePath(element).parents)):
            if outer in known and os.path.exists(element):
                return element
    return None


def data_problems(data: str | list[str] | PythonObject) -> list[str]:
    """Return the problems of one setting, without its name."""
    if isinstance(data, PythonObject):
        return _dataset_problems(data.value)
    if isinstance(data, str):
        if data.startswith(BUILTIN_PREFIX):
            return _builtin_problems(data)
        return source_problems([data]) if names_source(data) else _path_problems(data)
    if not data:
        return [f"got an empty list, {_EXPECTED}"]
    if any(map(names_source, data)):
        return source_problems(data)
    problems: list[str] = []
    for element in data:
        if element.startswith(BUILTIN_PREFIX):
            problems.append(f"'{shown(element)}' cannot be part of a list")
        else:
            problems += _path_problems(element)
    more = len(problems) - _SHOWN
    return problems[:_SHOWN] + ([f"and {more} more like these"] if more > 0 else [])


def _builtin_problems(data: str) -> list[str]:
    name = data.removeprefix(BUILTIN_PREFIX)
    if name in BUILTIN_NAMES:
        return []
    near = near_names(name, BUILTIN_NAMES, 1)
    known = ", ".join(f"'{BUILTIN_PREFIX}{known}'" for known in BUILTIN_NAMES)
    remedy = f"did you mean '{BUILTIN_PREFIX}{near[0]}'?" if near else f"known: {known}"
    return [f"unknown dataset '{shown(data)}', {remedy}"]


def _path_problems(given: str) -> list[str]:
    name = shown(given)
    if not given.strip():
        return [f"got an empty text, {_EXPECTED}"]
    if "\0" in given:
        return [f"'{name}' contains a NUL character, which a path cannot; {_EXPECTED}"]
    if not os.path.lexists(given) and (problem := unknown_scheme(given)):
        return [problem]
    path = os.path.expanduser(given)
    if is_glob(path):
        matches = next(glob.iglob(path, recursive=True), None)
        return [] if matches else [f"no file matches '{name}'{_as_list(given)}"]
    if os.path.isdir(path):
        return _folder_problems(path)
    if not os.path.exists(path):
        return [f"'{name}' does not exist{_near_path(path)}"]
    if not os.path.isfile(path):
        return [f"'{name}' is a {SPECIAL}; {_EXPECTED}"]
    if is_image_name(path) or suffix(path) in LIST_SUFFIXES:
        return []
    if suffix(path) in _ARCHIVES:
        plugin = what_opens(suffix(path))
        return [f"'{name}' is an archive; unpack it and give the folder{plugin}"]
    return [
        f"'{name}' is not an image (endings: {endings()}){what_to_install([path])}; {_EXPECTED}"
    ]


def _as_list(given: str) -> str:
    """Return a hint for a text such as ``[a, b]``, which is read as a glob, not as a list."""
    inner = re.fullmatch(r"\[(.*)\]", given.strip())
    if inner is None or ("/" not in given and "," not in given):
        return ""
    quoted = ", ".join(f'"{shown(part.strip())}"' for part in inner[1].split(","))
    return f"; a list is written with quotes: '[{quoted}]'"


def _folder_problems(path: str) -> list[str]:
    """Refuse folders that cannot be read, and system folders, whose search might not end."""
    real = f"{os.path.realpath(path)}/"
    if real.startswith(_SYSTEM_FOLDERS) and not real.startswith(_SHARED_MEMORY):
        return [f"'{shown(path)}' is a folder of the operating system; {_EXPECTED}"]
    try:
        os.scandir(path).close()
    except OSError as error:
        return [f"'{shown(path)}' cannot be read: {error.strerror}; {_EXPECTED}"]
    return []


def _near_path(path: str) -> str:
    """Return a hint at an existing path whose name is close to that of a missing one."""
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        return f", nor does the folder '{shown(folder)}'"
    try:
        near = near_names(name, os.listdir(folder), 1)
    except OSError:
        return ""
    return (
        f", did you mean '{shown(os.path.join(os.path.dirname(path), near[0]))}'?" if near else ""
    )


def _dataset_problems(value: object) -> list[str]:
    # An iterable dataset can exist only where its module has been imported.
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and isinstance(value, torch_data.IterableDataset):
        return [
            f"{type(value).__name__} is an iterable dataset, whose images cannot be read in "
            "random order; expected a map-style Dataset with __len__ and __getitem__"
        ]
    missing = [name for name in ("__len__", "__getitem__") if not hasattr(value, name)]
    if missing:
        return [f"got {value_name(value)} without {' and '.join(missing)}; {_EXPECTED}"]
    return []
