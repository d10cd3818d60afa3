import ctypes
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lenet_multi.machine.allocator import keep_freed_memory

# Prints how much of a freed block of 64 MiB stays with the process, as a share.
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
    """On request glibc keeps a large freed block; by default it returns it to the system."""
    assert platform.libc_ver()[0] == "glibc", "written for machines with glibc"
    assert kept("as it is") < 0.1
    assert kept("keep") > 0.9


def test_only_glibc_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told never to map and never to trim; another C library is told nothing."""
    told: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *given: told.append(given))
    monkeypatch.setattr(ctypes, "CDLL", {None: library}.get)
    for name in ("glibc", "", "libc"):
        monkeypatch.setattr(platform, "libc_ver", lambda name=name: (name, "2.39"))
        keep_freed_memory()
    assert told == [(-4, 0), (-1, -1)]
