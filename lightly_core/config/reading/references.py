"""Checks settings that refer to a file, a folder or the name of a model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import attrs

from lightly_core.config.options.fields import settings_fields
from lightly_core.places import place_problem

#: Key in a field's metadata: the setting is the path of a file that must exist.
FILE = "file"
#: Key in a field's metadata: the setting is the path of a folder, created if it is missing.
FOLDER = "folder"
#: Key in a field's metadata: a string is a model's name, ``library/name``.
MODEL = "model"

_LAST = os.path.join("exported_models", "exported_last.safetensors")


def misplaced_files(settings: object, path: str) -> Iterator[str]:
    """Yield a problem for each file that does not exist and each folder that cannot be created.

    Args:
        settings: An instance of an option class, or None.
        path: Its full name, such as ``config.method_args``.
    """
    for name, value in _marked(settings, FILE):
        if not isinstance(value, str) or "://" in value:
            continue
        file = os.path.expanduser(value)
        if os.path.isdir(file):
            last = os.path.join(file, _LAST)
            remedy = f"give '{last}'" if os.path.isfile(last) else "give a file in it"
            yield f"{path}.{name}: '{value}' is a folder, expected a file of weights; {remedy}"
        elif not os.path.exists(file):
            folder = os.path.dirname(os.path.abspath(file))
            nor = "" if os.path.isdir(folder) else f", nor does the folder '{folder}'"
            yield f"{path}.{name}: '{value}' does not exist{nor}; check the path"
    for name, value in _marked(settings, FOLDER):
        if not isinstance(value, str):
            continue
        place = Path(value).expanduser().absolute()
        if place.exists() and not place.is_dir():
            yield f"{path}.{name}: '{value}' is a file, expected a folder"
        elif problem := place_problem(place):
            yield f"{path}.{name}: {problem}; choose another folder"


def model_names(settings: object) -> Iterator[tuple[str, str]]:
    """Yield the field and the value of each setting that names a model."""
    for name, value in _marked(settings, MODEL):
        if isinstance(value, str):
            yield name, value


def _marked(settings: object, key: str) -> Iterator[tuple[str, object]]:
    if settings is None or not attrs.has(type(settings)):
        return
    for field in settings_fields(type(settings)):
        if field.metadata.get(key):
            yield field.name, getattr(settings, field.name)
