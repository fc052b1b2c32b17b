"""Memory that a step frees is kept for the next one.

glibc gives blocks of megabytes back to the system when they are freed, and every step pays for their pages again: of a
small net's step on one core that was up to a third of the time.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 32 << 20  # bytes; glibc takes no larger threshold
_KEPT = 1 << 30  # bytes at the top of the heap


def keep_freed_memory() -> bool:
    """Set for this process; whether it could be. It changes no result."""
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_THRESHOLD, _LARGEST) and library.mallopt(M_TRIM_THRESHOLD, _KEPT))
