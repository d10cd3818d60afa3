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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.found import Found, Pair
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
        return Found(read_pairs(arrays))


def write_pairs(path: Path, pairs: Mapping[str, Pair], **others: NDArray[Any]) -> None:
    """Write images and labels by part to an .npz, and `others` by name."""
    sides = {
        f"{part}.{side}": one
        for part, pair in pairs.items()
        for side, one in zip("xy", pair, strict=True)
    }
    np.savez(path, allow_pickle=False, **sides, **others)


def read_pairs(path: Path) -> dict[str, Pair]:
    """Return the images and labels by part that `write_pairs` wrote."""
    parts = [name.removesuffix(".x") for name in names_in(path) if name.endswith(".x")]
    found = iter(read_npz(path, [f"{part}.{side}" for part in parts for side in "xy"]))
    return {part: (next(found), next(found)) for part in parts}


def main(module: str, path: str, arrays: str) -> None:
    """Write what is found in the file at `path` to `arrays`; the second process runs this."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = importlib.import_module(f"lenet_multi.data.{module}").read(Path(path))
        write_pairs(Path(arrays), found.parts)
    except UserError as error:
        print(error, end="")
        sys.exit(_REFUSED)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process reports Ctrl-C
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder
    main(*sys.argv[1:])
