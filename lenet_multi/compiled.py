"""Where JAX keeps what it compiled, so that no later process has to compile it again."""

import hashlib
import platform
import warnings
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

FOLDER = "JAX_COMPILATION_CACHE_DIR"
_LEAST_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def keep(environ: MutableMapping[str, str]) -> None:
    """Have JAX, before its import, keep what it compiles in the user's cache folder.

    A folder that the user chose stays chosen. JAX checks what it reads; a damaged entry, as a
    kill leaves it, is compiled again.
    """
    if environ.get(FOLDER):
        return
    home = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~"), ".cache").expanduser()
    environ[FOLDER] = str(Path(home, "lenet_multi", f"jax-{_processor()}"))
    environ.setdefault(_LEAST_SECONDS, "0")
    warnings.filterwarnings("ignore", r"Error (read|writ)ing persistent compilation cache")


def _processor() -> str:
    """Return digits of a hash of the processor and its instructions.

    Machines may share a home; what was compiled for one may be what another cannot run.
    """
    known = platform.uname().machine + platform.processor()
    with suppress(OSError), Path("/proc/cpuinfo").open() as lines:  # only Linux tells here
        known += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(known.encode()).hexdigest()[:8]
