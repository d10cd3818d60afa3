"""Read one image set: `python -m lenet_multi.data.sources.child LIBRARY NAME FILE.npz`.

Nothing but the message of a `UserError` goes to stdout; what libraries print goes to stderr.
"""

import contextlib
import importlib
import signal
import sys

import numpy as np

from lenet_multi.data.sources.reader import ARRAYS, REFUSED
from lenet_multi.errors import UserError


def main(library: str, name: str, path: str) -> None:
    """Write the arrays of the image set `name` to `path`."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            arrays = importlib.import_module(f"lenet_multi.data.sources.{library}").read(name)
            np.savez(path, **dict(zip(ARRAYS, arrays, strict=True)))
    except UserError as error:
        print(error, end="")
        sys.exit(REFUSED)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is told by the process that waits
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder, whose datasets.py is not the library
    main(*sys.argv[1:])
