"""The user's cache folder: what JAX compiled, and what the doctor measured, on this processor."""

import hashlib
import os
import platform
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from lenet_multi.machine import instruction_sets

FOLDER = "JAX_COMPILATION_CACHE_DIR"


def place(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where `name` is kept for this processor.

    Machines may share a home. What was compiled for one may be what another cannot run.
    """
    home = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~"), ".cache").expanduser()
    known = instruction_sets.cpuinfo()
    instructions = known.get("flags") or known.get("Features") or ""
    kind = platform.uname().machine + platform.processor() + instructions
    return Path(home, "lenet_multi", f"{name}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}")


def keep_compiled(environ: MutableMapping[str, str]) -> None:
    """Have JAX, before its import, keep what it compiles in the user's cache folder.

    A folder that the user chose stays chosen. JAX checks what it reads; a damaged entry, as a
    kill leaves it, is compiled again.
    """
    if environ.get(FOLDER):
        return
    environ[FOLDER] = str(place("jax", environ))
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    warnings.filterwarnings("ignore", r"Error (read|writ)ing persistent compilation cache")
