"""Let the C library keep the memory that tensors free during training on a CPU.

By default glibc returns the top of its heap to the system when it is free, and maps large blocks
again for each tensor. Each step then gets new pages, which the system fills with zeros one by one.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys

logger = logging.getLogger(__name__)

#: Parameters of mallopt in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: The largest threshold that glibc takes: half of a heap of 64 MiB.
_LARGEST_BLOCK = 32 * 2**20
#: Bytes at the top of the heap that are kept; the largest value of a C int.
_KEPT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Set glibc's thresholds for this process, unless the environment sets some.

    They stay set, as glibc cannot return to the thresholds that it adapts itself. Processes that
    were forked earlier, such as workers of a loader, keep theirs.

    Returns:
        Whether they were set. Other systems and other C libraries are left alone.
    """
    if sys.platform != "linux" or _is_set_by_user():
        return False
    libc = _glibc()
    if libc is None:
        return False
    done = libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK) and libc.mallopt(_TRIM_THRESHOLD, _KEPT)
    logger.debug("The C library keeps freed memory for the next step: %s", bool(done))
    return bool(done)


def return_freed_memory() -> None:
    """Return to the system what glibc has kept."""
    libc = _glibc() if sys.platform == "linux" else None
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return glibc; None if this is another C library."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def _is_set_by_user() -> bool:
    """Return whether the environment chooses an allocator or its thresholds."""
    names = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
    return any(os.environ.get(name) for name in names)
