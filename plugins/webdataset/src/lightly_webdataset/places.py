"""The names of shards. Imports nothing heavy and uses no network."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence

from braceexpand import braceexpand

from lightly_core.data.names import shown
from lightly_core.data.paths import is_glob
from lightly_core.data.remote_check import password_problem
from lightly_core.errors import DataError
from lightly_webdataset.config import WebDatasetArgs

PIPE = "pipe:"
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def is_local(place: str) -> bool:
    """Return whether a place is a path, not a URL or a command."""
    return not place.startswith(PIPE) and _URL.match(place) is None


def expanded(places: Sequence[str]) -> list[str]:
    """Return the shards that texts name, in their order.

    As in WebDataset, ``{000..127}`` and ``{a,b}`` stand for several names, and ``::`` separates
    names. Patterns with ``*`` and folders stand for the local shards in them, sorted by name.

    Raises:
        DataError: A pattern or a folder has no shard, or braces are not balanced.
    """
    return [shard for place in places for shard in _expanded(place)]


def _expanded(place: str) -> Iterator[str]:
    parts = [place] if place.startswith(PIPE) else place.split("::")
    for part in parts:
        try:
            names = list(braceexpand(part))
        except ValueError as error:
            raise DataError(f"'{shown(part)}' cannot be expanded: {error}") from error
        for name in names:
            yield from _local(os.path.expanduser(name)) if is_local(name) else [name]


def _local(name: str) -> list[str]:
    if os.path.isdir(name):
        found = sorted(glob.glob(os.path.join(glob.escape(name), "*.tar")))
        if not found:
            raise DataError(f"the folder '{shown(name)}' has no .tar file")
        return found
    if is_glob(name):
        found = sorted(glob.glob(name, recursive=True))
        if not found:
            raise DataError(f"no file matches '{shown(name)}'")
        return found
    return [name]


def problems(places: Sequence[str], options: WebDatasetArgs) -> list[str]:
    """Return why texts cannot name shards, one text for each mistake."""
    try:
        shards = expanded(places)
    except DataError as error:
        return [str(error)]
    return [problem for shard in shards if (problem := _problem(shard))]


def _problem(shard: str) -> str | None:
    name = shown(shard)
    if shard.startswith(PIPE):
        return None if shard.removeprefix(PIPE).strip() else "'pipe:' has no command"
    if shard.lower().endswith(_COMPRESSED):
        return (
            f"'{name}' is compressed, so that its samples cannot be read in random order; "
            "decompress it, or let a command do it: 'wds:pipe:gzip -dc FILE'"
        )
    if not is_local(shard):
        return password_problem(shard)
    if not shard.strip():
        return "got an empty text, expected shards such as 'wds:shards/{000..127}.tar'"
    if not os.path.exists(shard):
        return f"the shard '{name}' does not exist"
    return None if os.path.isfile(shard) else f"'{name}' is not a file"
