"""Have a library read an image set in a process of its own.

The process is `python -m lenet_multi.data.sources.reader LIBRARY NAME FILE.npz`. Nothing but the
message of a `UserError` goes to its stdout; what libraries print goes to stderr.
"""

import contextlib
import importlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.npz import read_npz
from lenet_multi.errors import UserError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # as in Keras's own mnist.npz
_REFUSED = 2  # the process's exit status when its stdout is the message of a UserError


def read(library: str, name: str) -> list[NDArray[Any]]:
    """Return training images and labels, test images and labels of the image set `name`.

    `library` is one of `LIBRARIES`. What it tells of a download goes to stderr.

    Raises `UserError` when the library is missing, or cannot find or read the set.
    """
    with tempfile.TemporaryDirectory(prefix="lenet-multi-") as folder:
        path = Path(folder, "arrays.npz")
        done = subprocess.run(
            [sys.executable, "-m", __name__, library, name, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode == _REFUSED:
            raise UserError(f"--data {library}:{name}: {done.stdout}")
        if done.returncode:
            raise UserError(
                f"--data {library}:{name}: the process that read it ended with status "
                f"{done.returncode}; what it wrote stands above"
            )
        return read_npz(path, ARRAYS)


def main(library: str, name: str, path: str) -> None:
    """Write the arrays of the image set `name` to `path`, in the process of its own."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            arrays = importlib.import_module(f"lenet_multi.data.sources.{library}").read(name)
            np.savez(path, **dict(zip(ARRAYS, arrays, strict=True)))
    except UserError as error:
        print(error, end="")
        sys.exit(_REFUSED)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is told by the process that waits
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder, whose datasets.py is not the library
    main(*sys.argv[1:])
