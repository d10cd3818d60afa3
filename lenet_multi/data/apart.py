"""Read a file in a second process: a damaged file may crash the library that reads it.

The process is `python -m lenet_multi.data.apart MODULE FILE ARRAYS.npz`; MODULE is one of this
folder. It writes only the message of a `UserError` to stdout.
"""

import contextlib
import importlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lenet_multi.data.found import Found
from lenet_multi.data.npz import names_in, read_npz
from lenet_multi.errors import UserError

_REFUSED = 2  # exit status of the process when its stdout is the message of a `UserError`


def read(module: str, path: Path) -> Found:
    """Return what the function `read` of a `module` of this folder finds in a file.

    Raises `UserError` like that function, and when the process does not survive it.
    """
    with tempfile.TemporaryDirectory(prefix="lenet-multi-") as folder:
        arrays = Path(folder, "arrays.npz")
        done = subprocess.run(
            [sys.executable, "-m", __name__, module, str(path), str(arrays)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode == _REFUSED:
            raise UserError(done.stdout)
        if done.returncode:
            raise UserError(
                f"{path} is damaged: its reader ended with status {done.returncode}; save it "
                "again, or as .npz"
            )
        names = names_in(arrays)
        pairs = zip(names[::2], names[1::2], strict=True)
        found = iter(read_npz(arrays, names))
        return Found({x.removesuffix(".x"): (next(found), next(found)) for x, _ in pairs})


def main(module: str, path: str, arrays: str) -> None:
    """Write what is found in the file at `path` to `arrays`; the second process runs this."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = importlib.import_module(f"lenet_multi.data.{module}").read(Path(path))
        parts = found.parts.items()
        sides = {
            f"{part}.{side}": one
            for part, pair in parts
            for side, one in zip("xy", pair, strict=True)
        }
        np.savez(arrays, **sides)
    except UserError as error:
        print(error, end="")
        sys.exit(_REFUSED)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process reports Ctrl-C
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder
    main(*sys.argv[1:])
