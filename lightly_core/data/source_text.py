"""Reads texts such as ``wds:shards/{000..127}.tar?window=2000`` that name a data source.

A text begins with the scheme of a `SourceRecord`, or is a path with one of its endings. Options
follow a ``?``, or a ``#`` in the text of a URL or command, which may hold a ``?`` itself. Imports
nothing heavy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from lightly_core.config.reading.keyvalue import parse_pairs
from lightly_core.config.reading.structure import structure
from lightly_core.data.endings import is_image_name, suffix
from lightly_core.data.names import shown
from lightly_core.errors import ConfigError, PluginError, near_names
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_check, load_config
from lightly_core.plugins.published import OPENED, distribution_of
from lightly_core.plugins.records import SourceRecord

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)  # one letter is a drive of Windows
_HOLDS_A_QUERY = re.compile(r"(\w+:)?(https?://|pipe:)", re.IGNORECASE)
_OPTIONS = {sign: re.compile(rf"[{sign}]([A-Za-z_]\w*=[^{sign}]*)$") for sign in "?#"}
_SHOWN = 5
#: What else can be done with the files of a source, by its name.
_OTHERWISE = {"video": ", and `lightly extract-frames` writes their frames as images"}


@dataclass(frozen=True)
class NamedSource:
    """The data source that a setting names.

    Attributes:
        record: What opens it.
        places: The texts without options, and without the prefix of the record.
        options: Instance of the record's option class.
    """

    record: SourceRecord
    places: tuple[str, ...]
    options: object


def names_source(text: str) -> bool:
    """Return whether an installed plugin, or the core, opens a text as a data source."""
    return _record(text) is not None


def named_source(elements: Sequence[str]) -> NamedSource:
    """Read the texts of a data source.

    Args:
        elements: The texts, of which `names_source` is true for at least one.

    Raises:
        ConfigError: They are of several kinds, have different options, or options are wrong.
        PluginError: More than one plugin opens a text.
    """
    records = {text: _record(text) for text in elements}
    first = next(record for record in records.values() if record is not None)
    others = [text for text, record in records.items() if record != first]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        listed = ", ".join(f"'{shown(text)}'" for text in others[:_SHOWN])
        raise ConfigError(
            f"{listed}{more} cannot be in a list with texts of the {first.label}; "
            "give one kind of data only"
        )
    split = [_without_options(text) for text in elements]
    given = {pairs for _, pairs in split}
    if len(given) > 1:
        raise ConfigError("the elements of a list have different options; give all the same ones")
    pairs = parse_pairs(list(given.pop()))
    options: object = structure(
        pairs, load_config(first), path=f"options of '{shown(elements[0])}'"
    )
    places = tuple(_without_prefix(place, first) for place, _ in split)
    return NamedSource(first, places, options)


def source_problems(elements: Sequence[str]) -> list[str]:
    """Return the problems of the texts of a data source, without network and heavy imports."""
    try:
        named = named_source(elements)
        check = load_check(named.record)
    except ConfigError as error:
        return list(error.problems)
    except PluginError as error:
        return [str(error)]
    problems = check(named.places, named.options)
    more = len(problems) - _SHOWN
    return problems[:_SHOWN] + ([f"and {more} more like these"] if more > 0 else [])


def unknown_scheme(text: str) -> str | None:
    """Return the problem of a text whose scheme nothing installed opens; None: it is a path."""
    place, _ = _without_options(text)
    scheme = _scheme(text)
    if scheme and (scheme in OPENED or re.match(r"[^:]+://", text)):
        what = f"unknown scheme '{scheme}:' of '{shown(text)}'"
        return f"{what}{what_opens(scheme) or _known(scheme)}"
    ending = suffix(place)
    if ending in OPENED and not os.path.isdir(place):
        return f"'{shown(text)}' is a file of samples{what_opens(ending)}"
    return None


def what_opens(word: str) -> str:
    """Return the end of a message: the plugin that opens a scheme or an ending, or ""."""
    name = OPENED.get(word, "")
    distribution = distribution_of("source", name)
    if distribution is None or any(
        record.name == name for record in get_plugins().catalog.records("source")
    ):
        return ""
    return f"; {distribution} opens it: pip install {distribution}"


def files_of_source(folder: str, endings: Iterable[str]) -> str:
    """Return the end of a message on a folder whose files a data source opens, or ""."""
    for ending in endings:
        record = get_plugins().catalog.source_of(ending)
        if record is not None:
            opens = f"'{record.schemes[0]}:{shown(folder)}' opens its {ending} files"
            return f"; {opens}{_OTHERWISE.get(record.name, '')}"
        if install := what_opens(ending):
            return f"; {ending} files are samples{install}"
    return ""


def _known(scheme: str) -> str:
    records = get_plugins().catalog.records("source")
    known = sorted({one for record in records for one in record.schemes})
    near = near_names(scheme, known, 1)
    hint = f", did you mean '{near[0]}:'?" if near else ""
    listed = ", ".join(f"{one}:" for one in known) or "none is installed"
    return f"{hint}; known: {listed}"


def _record(text: str) -> SourceRecord | None:
    scheme = _scheme(text)
    if not scheme and is_image_name(text):  # the usual case, for lists of millions of files
        return None
    catalog = get_plugins().catalog
    if scheme:
        record = catalog.source_of(scheme)
        if record is not None and (record.prefix or text[len(scheme) :].startswith("://")):
            return record
    place = os.path.expanduser(_without_options(text)[0])
    record = None if scheme or not suffix(place) else catalog.source_of(suffix(place))
    return None if record is None or os.path.isdir(place) else record


def _scheme(text: str) -> str:
    found = _SCHEME.match(text)
    return found[1].lower() if found else ""


def _without_options(text: str) -> tuple[str, tuple[str, ...]]:
    """Split a text into the place and the pairs ``name=value`` of its options."""
    sign = "#" if _HOLDS_A_QUERY.match(text) else "?"
    found = _OPTIONS[sign].search(text)
    if found is None:
        return text, ()
    return text[: found.start()], tuple(map(unquote, found[1].split("&")))


def _without_prefix(place: str, record: SourceRecord) -> str:
    scheme = _scheme(place)
    if record.prefix and scheme in record.schemes:
        place = place[len(scheme) + 1 :]
    return place
