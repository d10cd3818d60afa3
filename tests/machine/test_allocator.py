import platform
import subprocess
import sys

# Whether a freed block of 64 MiB stays with the process; in pages of its resident memory.
SHOW = """
import sys
import numpy as np
from lenet_multi.machine.allocator import keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1])

if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(1)
before = resident()
block = np.ones(64 * 2**20, np.uint8)
with_block = resident()
del block
print((resident() - before) / (with_block - before))
"""


def kept(mode: str) -> float:
    """Return the share of a freed block that stays with a process."""
    command = [sys.executable, "-c", SHOW, mode]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_freed_memory_stays_with_the_process() -> None:
    """With the call, glibc keeps a freed large block; without, the system gets it back."""
    assert platform.libc_ver()[0] == "glibc", "written for machines with glibc"
    assert kept("as it is") < 0.1
    assert kept("keep") > 0.9
