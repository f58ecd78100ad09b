"""Peak memory of a process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_process_memory() -> int | None:
    """Return the peak of this process's main memory in bytes, None on Windows."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    if sys.platform == "linux":
        # `getrusage` would begin with the peak of the process that started this one.
        try:
            for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        except OSError:  # no /proc in this container
            pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
