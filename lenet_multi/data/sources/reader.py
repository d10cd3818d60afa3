"""Have a library read an image set in a process of its own."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lenet_multi.data.npz import read_npz
from lenet_multi.errors import UserError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # as in Keras's own mnist.npz
REFUSED = 2  # the child's exit status when its stdout is the message of a UserError


def read(library: str, name: str) -> list[NDArray[Any]]:
    """Return training images and labels, test images and labels of the image set `name`.

    `library` is one of `LIBRARIES`. What it tells of a download goes to stderr.

    Raises `UserError` when the library is missing, or cannot find or read the set.
    """
    with tempfile.TemporaryDirectory(prefix="lenet-multi-") as folder:
        path = Path(folder, "arrays.npz")
        done = subprocess.run(
            [sys.executable, "-m", "lenet_multi.data.sources.child", library, name, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode == REFUSED:
            raise UserError(f"--data {library}:{name}: {done.stdout}")
        if done.returncode:
            raise UserError(
                f"--data {library}:{name}: the process that read it ended with status "
                f"{done.returncode}; what it wrote stands above"
            )
        return read_npz(path, ARRAYS)
