"""How the processor's memory is handled while training."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Have the C library keep what tensors free, for the next step's tensors; return whether it can.

    A step on the processor frees and asks anew for every large map. By default glibc hands blocks above 32 MB back to
    the kernel, which clears each page again before it is used: up to a fifth of a MobileNet-V2 step at 112. Other C
    libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))
