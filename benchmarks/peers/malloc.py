"""Have malloc keep what is freed, as all loops by hand do."""

import ctypes
import platform

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Have glibc neither map large blocks by themselves nor trim; do nothing where it is not glibc.

    The kernel clears a block that it hands out. A step frees its blocks, and so each step would
    wait for that anew.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
