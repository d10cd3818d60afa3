"""Make malloc keep freed memory, as all loops by hand do."""

import ctypes
import platform

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Make glibc's malloc keep freed memory; do nothing without glibc.

    The kernel clears each block that it hands out. A step frees its blocks, so every step would
    wait for that again. glibc must neither map large blocks separately nor trim.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
