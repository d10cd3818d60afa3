"""Read a file in a second process: a damaged one may crash its library, or fill the memory.

The process calls `main`. It writes only the message of a `UserError` to stdout. It takes no more
memory than an honest file needs, where the system can limit that.
"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import numpy as np

from lenet_multi.data.bombs import most_unpacked
from lenet_multi.data.found import Found
from lenet_multi.data.npz import names_in, read_npz
from lenet_multi.errors import UserError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_PLACE = Path(__file__).parents[2]  # of this package
# Modules in the working folder, or beside this package, hide no module of a library.
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import lenet_multi; del sys.path[0]; "
    "from lenet_multi.data.apart import main; main(*sys.argv[1:])"
)
_OF_LIBRARIES = 2**29  # bytes
_OF_A_THREAD = 2**24  # most of it is its stack, which it hardly uses
_ENVIRON = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # its own takes more than it uses
_COPIES = 4  # of the data, as a library reads them
_NAMES = "class_names"
REFUSED = 2  # exit status of the process when its stdout is the message of a `UserError`


def read(module: str, path: Path) -> Found:
    """Return what the function `read` of a `module` of this folder finds in a file.

    Raises `UserError` like that function, and when the process does not survive it.
    """
    with tempfile.TemporaryDirectory(prefix="lenet-multi-") as folder:
        arrays = Path(folder, "arrays.npz")
        done = subprocess.run(
            [sys.executable, "-P", "-c", START, str(_PLACE), module, str(path), str(arrays)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=os.environ | _ENVIRON,
        )
        if done.returncode == REFUSED:
            raise UserError(os.fsdecode(done.stdout))
        if done.returncode:
            raise UserError(
                f"{path} is damaged: its reader ended with status {done.returncode}; save it "
                "again, or as .npz"
            )
        return read_found(arrays)


def write_found(path: Path, found: Found) -> None:
    """Write images and labels by part, and the names of the classes, to an .npz."""
    sides = {
        f"{part}.{side}": one
        for part, pair in found.parts.items()
        for side, one in zip("xy", pair, strict=True)
    }
    names = np.array(found.class_names or [], str)
    np.savez(path, allow_pickle=False, **sides, **{_NAMES: names})


def read_found(path: Path) -> Found:
    """Return the images, labels and names that `write_found` wrote."""
    parts = [name.removesuffix(".x") for name in names_in(path) if name.endswith(".x")]
    names, *sides = read_npz(path, [_NAMES, *(f"{part}.{side}" for part in parts for side in "xy")])
    pairs = dict(zip(parts, zip(sides[::2], sides[1::2], strict=True), strict=True))
    return Found(pairs, class_names=tuple(names.tolist()) or None)


def main(module: str, path: str, arrays: str) -> None:
    """Write what `module` of this folder finds in the file at `path` to `arrays`, an `.npz`.

    The second process runs this.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process reports Ctrl-C
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = _within_limits(
                importlib.import_module(f"lenet_multi.data.{module}"), Path(path)
            )
        sides = [side for pair in found.parts.values() for side in pair]
        if any(side.dtype.hasobject for side in sides):
            raise UserError(
                f"{path} has images or labels that are neither numbers nor texts; save them as such"
            )
        write_found(Path(arrays), found)
    except UserError as error:
        refuse(error)


def refuse(error: UserError) -> NoReturn:
    """End the second process, with the message alone on stdout; a path in it may be no text."""
    os.write(1, os.fsencode(str(error)))
    sys.exit(REFUSED)


def _within_limits(reader: ModuleType, path: Path) -> Found:
    """Return what `reader` finds; raise `UserError` where that takes far too much memory."""
    if resource and path.is_file():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = _OF_LIBRARIES + _OF_A_THREAD * (os.cpu_count() or 1)
        most += _COPIES * most_unpacked(path)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        found: Found = reader.read(path)
        return found
    except MemoryError as error:
        raise UserError(
            f"{path} takes far more memory than it has bytes: it is damaged or a decompression "
            "bomb; save it again, or give its content unpacked"
        ) from error
