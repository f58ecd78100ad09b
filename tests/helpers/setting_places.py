"""Where a setting was given, in messages."""

import re

_PLACE = re.compile(r" \(from (?:'.*?'|the argument \w+|[^()]*, line \d+)\)(?=: )", re.DOTALL)


def without_places(text):
    """Remove the words, arguments and lines of files from a message."""
    return _PLACE.sub("", text)
