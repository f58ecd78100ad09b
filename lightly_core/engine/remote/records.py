"""Records that are sent to a server, and their form as lines of JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import attrs
from attrs import frozen


@frozen(kw_only=True)
class Metrics:
    """Scalars of one step.

    Attributes:
        step: Number of the step.
        values: By name. They may be nan and infinite.
        time: When they were logged, in milliseconds since 1970.
        is_repeated: Whether a resumed run logs them again if they are from a later step.
    """

    step: int
    values: Mapping[str, float]
    time: int
    is_repeated: bool = True


@frozen(kw_only=True)
class Config:
    """The resolved configuration, nested plain data.

    Attributes:
        values: Settings by name. They hold no passwords in addresses.
        time: When the run, or its resumed part, started, in milliseconds since 1970.
    """

    values: Mapping[str, Any]
    time: int


@frozen(kw_only=True)
class Image:
    """An image.

    Attributes:
        name: Such as ``augmentations``.
        step: Number of the step.
        png: The encoded image.
        time: When it was logged, in milliseconds since 1970.
    """

    name: str
    step: int
    png: bytes
    time: int


@frozen(kw_only=True)
class Artifact:
    """A file that the run wrote.

    Attributes:
        path: Its absolute path.
        time: When it was logged, in milliseconds since 1970.
    """

    path: Path
    time: int


@frozen(kw_only=True)
class Model:
    """A folder in which the plugin has saved the exported backbone in its own format.

    Attributes:
        path: Its absolute path.
        time: When it was logged, in milliseconds since 1970.
    """

    path: Path
    time: int


@frozen(kw_only=True)
class Finish:
    """The end of a run.

    Attributes:
        status: ``finished``, ``interrupted`` or ``failed``.
        time: When the run ended, in milliseconds since 1970.
    """

    status: str
    time: int


Record = Union[Metrics, Config, Image, Artifact, Model, Finish]  # noqa: UP007 - a runtime alias

_KINDS: dict[str, type[Any]] = {
    cls.__name__.lower(): cls for cls in (Metrics, Config, Image, Artifact, Model, Finish)
}


def to_line(record: Record, folder: Path) -> bytes:
    """Return a record as a line of JSON.

    Args:
        record: The record.
        folder: The run folder. Paths below it are stored relative to it, so it can be moved.
    """
    data: dict[str, object] = {"kind": type(record).__name__.lower(), "time": record.time}
    for field in attrs.fields(type(record)):
        value = getattr(record, field.name)
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        elif isinstance(value, Path):
            value = str(value.relative_to(folder) if value.is_relative_to(folder) else value)
        elif isinstance(value, Mapping):
            value = dict(value)
        data[field.name] = value
    return json.dumps(data).encode() + b"\n"


def from_line(line: bytes, folder: Path) -> Record | None:
    """Read a line of `to_line`; None: the line is cut off, or of another version."""
    try:
        data = json.loads(line)
        cls = _KINDS[data.pop("kind")]
        if "png" in data:
            data["png"] = base64.b64decode(data["png"])
        if "path" in data:
            data["path"] = folder / data["path"]
        record: Record = cls(**data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return record
