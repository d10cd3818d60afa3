"""Keep the memory that a step gives back, for the next step."""

import ctypes
import platform

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Have glibc's malloc keep freed memory in this process; do nothing where there is no glibc.

    XLA asks malloc for one block of all that a step needs. Above 32 MiB glibc takes such a block
    from the kernel, which clears it page by page, and gives it back at the step's end: in each
    step anew. PyTorch's tensors are smaller, and meet the same where they come to lie at the end
    of the memory. Told never to map blocks by themselves and never to trim, glibc does so once.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
