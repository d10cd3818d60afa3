"""Keep memory that a step frees for the next step."""

import ctypes
import platform

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Make glibc's malloc keep freed memory in this process; do nothing without glibc.

    XLA allocates one block for everything that a step needs. Above 32 MiB, glibc maps such a block
    from the kernel, which clears it page by page, and unmaps it at the end of every step. The same
    happens to PyTorch's smaller tensors at the end of the heap. With M_MMAP_MAX = 0 (never map) and
    M_TRIM_THRESHOLD = -1 (never trim), the kernel clears the memory only once.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
