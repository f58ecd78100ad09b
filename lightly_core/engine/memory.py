"""How much main memory a process has had."""

from __future__ import annotations

import sys


def peak_process_memory() -> int | None:
    """Return the most bytes of main memory that this process has had; None on Windows."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
