"""Removes passwords and keys from addresses before they are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping

# User and password; host and path; query and fragment, which hold the key of signed addresses.
_ADDRESS = re.compile(
    r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/@?#]*@)?([^\s?#'\"]*)([?#][^\s'\"]*)?", re.I
)


def without_secrets(value: object) -> object:
    """Return nested plain data with user, password and query removed from all addresses.

    The rest of an address still identifies the file, so two runs can be compared.

    Args:
        value: Dicts, lists, strings and other plain values. It is not changed.
    """
    if isinstance(value, str):
        return _ADDRESS.sub(lambda found: found[1] + found[2] + ("?..." if found[3] else ""), value)
    if isinstance(value, Mapping):
        return {key: without_secrets(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(entry) for entry in value]
    return value
