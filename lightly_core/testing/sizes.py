"""Check that models take images of every size, where their library's record says so."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from lightly_core.contracts import ModelLibrary
from lightly_core.models.probing import probe
from lightly_core.models.without_numbers import without_numbers
from lightly_core.plugins.model_names import model_names
from lightly_core.plugins.records import ModelsRecord
from lightly_core.testing.checks import require

#: (height, width) in pixels: the smallest images, and some that are no multiple of a stride.
_SIZES = ((32, 32), (75, 50))


def one_of_each_pattern(record: ModelsRecord) -> list[str]:
    """Return the first listed model of each pattern of `ModelsRecord.any_size`.

    Raises:
        AssertionError: A pattern fits no listed model.
    """
    listed, chosen = model_names(record), []
    for pattern in record.any_size:
        found = next((name for name in listed if fnmatchcase(name, pattern)), None)
        require(found is not None, f"any_size has '{pattern}', which fits no listed model")
        chosen.append(str(found))
    return chosen


def require_any_size(library: ModelLibrary, names: Iterable[str]) -> None:
    """Build models on the meta device, and run small images of three channels through them.

    Raises:
        AssertionError: A model refuses them.
    """
    for name in names:
        try:
            with without_numbers():
                wrapper = library.create(name, num_input_channels=3, model_args={})
                for size in _SIZES:
                    probe(wrapper, 3, size)
        except Exception as error:
            raise AssertionError(
                f"any_size of the record fits '{name}', which does not take images of {_SIZES}: "
                f"{type(error).__name__}: {error}"
            ) from error
