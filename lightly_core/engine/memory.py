"""Peak memory of a process."""

from __future__ import annotations

import sys


def peak_process_memory() -> int | None:
    """Return the peak of this process's main memory in bytes, None on Windows."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
