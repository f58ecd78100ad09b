"""Checks of URLs of images that need no network and no heavy import."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from lightly_core.config.options.remote_data import RemoteDataArgs
from lightly_core.data.endings import suffix
from lightly_core.data.names import shown
from lightly_core.data.source_text import what_opens
from lightly_core.plugins.discovery import get_plugins


def problems(places: Sequence[str], options: RemoteDataArgs) -> list[str]:
    """Return why images cannot be read from URLs: a missing package, or shards."""
    schemes = sorted({place.partition("://")[0].lower() for place in places})
    found = [problem for scheme in schemes if (problem := _package_problem(scheme))]
    found += [problem for place in places if (problem := password_problem(place))]
    return found + [problem for place in places if (problem := _shard_problem(place))]


def password_problem(url: str) -> str | None:
    """Return the problem of a URL with a password, which a run would store with its settings."""
    start, at, host = url.partition("@")
    scheme, slashes, account = start.partition("://")
    if not (at and slashes and ":" in account) or "/" in account:
        return None
    shorter = shown(f"{scheme}://{host}")
    return (
        f"the URL of '{shorter}' has a password, which would be stored in config.json; leave it "
        "out, and set it by a variable or a file of fsspec"
    )


def _package_problem(scheme: str) -> str | None:
    from fsspec.registry import known_implementations

    known = known_implementations.get(scheme)
    if known is None:
        return f"the installed fsspec does not know '{scheme}://'; update it"
    # The class for http is part of fsspec, but needs a package.
    module = "aiohttp" if scheme in ("http", "https") else known["class"].partition(".")[0]
    if find_spec(module) is not None:
        return None
    package = module.replace("_", "-")
    return f"'{scheme}://' needs the package {package}: pip install {package}"


def _shard_problem(place: str) -> str | None:
    ending = suffix(place)
    record = get_plugins().catalog.source_of(ending) if ending else None
    if record is not None and record.name == "video":
        return f"'{shown(place)}' is a video, and videos are read from this machine; copy it here"
    if record is not None:
        return f"'{shown(place)}' is a file of samples; write '{record.schemes[0]}:{shown(place)}'"
    if install := what_opens(ending):
        return f"'{shown(place)}' is a file of samples{install}"
    return None
