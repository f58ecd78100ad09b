"""What the texts of the data source name. Imports nothing heavy and uses no network."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence

from lightly_core.data.names import shown
from lightly_core.data.paths import is_glob
from lightly_huggingface.config import HuggingFaceArgs

#: Owner and name of a data set of the hub.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
#: Files in a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` has written.
_SAVED = ("state.json", "dataset_dict.json")
_PARQUET = ".parquet"


def is_saved(folder: str) -> bool:
    """Return whether a folder was written by `save_to_disk`."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in _SAVED)


def parquet_files(place: str) -> list[str]:
    """Return the parquet files that a place names, sorted; none if it names something else."""
    path = os.path.expanduser(place)
    if is_glob(path):
        return sorted(one for one in glob.glob(path, recursive=True) if one.endswith(_PARQUET))
    return [path] if path.endswith(_PARQUET) else []


def problems(places: Sequence[str], options: HuggingFaceArgs) -> list[str]:
    """Return why texts cannot name a data set, one text for each mistake."""
    found = [problem for place in places if (problem := _problem(place))]
    if len(places) > 1 and not all(map(parquet_files, places)):
        found.append("a list can hold parquet files only; give one data set")
    return found


def _problem(place: str) -> str | None:
    path, name = os.path.expanduser(place), shown(place)
    files = parquet_files(place)
    if is_glob(path):
        return None if files else f"no parquet file matches '{name}'"
    missing = [one for one in files if not os.path.isfile(one)]
    if missing:
        return f"the file '{shown(missing[0])}' does not exist"
    if files or os.path.isdir(path) or _HUB_NAME.fullmatch(place):
        return None
    return (
        f"'{name}' is neither a folder, nor a .parquet file, nor the name of a data set of the hub "
        "such as 'owner/name'"
    )
