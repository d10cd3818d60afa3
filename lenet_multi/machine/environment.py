"""What affects a run's figures besides its settings: versions, machine, memory."""

import functools
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from lenet_multi import __version__
from lenet_multi.machine import instruction_sets
from lenet_multi.machine.frameworks import installed_version


def versions(backend: str) -> dict[str, str]:
    """Return the versions of Python, this package, NumPy, Keras and the backend."""
    return {
        "python": platform.python_version(),
        "lenet-multi": __version__,
        **{name: installed_version(name) for name in ("numpy", "keras", backend)},
    }


def machine(backend: str | None = None) -> dict[str, str | int]:
    """Return the system, processor, instruction set of `backend` (or of all), cores and GPU."""
    gpu = _gpu()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "instruction_set": instruction_sets.used(backend),
        "cores": os.cpu_count() or 1,
        **({"gpu": gpu} if gpu else {}),
    }


@functools.cache
def _gpu() -> str:
    command = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    try:
        named = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.SubprocessError):  # no command, no driver, or it hangs
        return ""
    return named.partition("\n")[0]


def processor() -> str:
    """Return the processor's name; on x86 with family and model, as clouds reuse names."""
    known = instruction_sets.cpuinfo()
    name = known.get("model name", platform.processor())
    if "cpu family" in known:
        return f"{name} (family {known['cpu family']}, model {known['model']})"
    return name


def threads() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int | None:
    """Return the largest resident memory of this process so far, in bytes; None on Windows."""
    # On Linux `getrusage` also counts what a large parent had before it started this program.
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        if found := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
            return int(found[1]) * 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes


def memory_bytes() -> int | None:
    """Return the memory in bytes that this process may use: the machine's or its container's.

    None on Windows.
    """
    if not hasattr(os, "sysconf"):
        return None
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or no limit ("max")
        return machine
