"""A further process of `lightly embed devices=N`: ``python -m lightly_core.embedding.child``.

It reads its settings from stdin, see `lightly_core.embedding.processes`. The environment has the
number of processes and its rank.
"""

from __future__ import annotations

import json
import sys

from lightly_core.embedding.command import embed_with
from lightly_core.errors import LightlyError
from lightly_core.plugins.discovery import configure


def main() -> int:
    """Embed. Return 0, 1 after an error, or 130 after a stop."""
    job = json.load(sys.stdin)
    configure(block=job["blocked"])
    try:
        embed_with(arguments=job["settings"])
    except KeyboardInterrupt:
        return 130
    except LightlyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
