"""The user's cache folder: what JAX compiled and the doctor measured on this processor."""

import hashlib
import os
import platform
import tempfile
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from lenet_multi.machine import instruction_sets

FOLDER = "JAX_COMPILATION_CACHE_DIR"


def place(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of `name` for this processor.

    Machines may share a home folder, and one may be unable to run what another compiled.
    """
    try:
        home = (
            environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~"), ".cache").expanduser()
        )
    except RuntimeError:  # a user without a home, as in some containers
        home = tempfile.gettempdir()
    known = instruction_sets.cpuinfo()
    instructions = known.get("flags") or known.get("Features") or ""
    kind = platform.uname().machine + platform.processor() + instructions
    return Path(home, "lenet_multi", f"{name}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}")


def keep_compiled(environ: MutableMapping[str, str]) -> None:
    """Make JAX keep compiled code in the user's cache folder; call this before JAX's import.

    A folder that the user chose stays in use. JAX checks what it reads: it compiles a damaged entry
    again, such as one that a kill left.
    """
    if environ.get(FOLDER):
        return
    environ[FOLDER] = str(place("jax", environ))
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    warnings.filterwarnings("ignore", r"Error (read|writ)ing persistent compilation cache")
