"""Let a library read an image set in a second process.

The process is `python -m lenet_multi.data.sources.reader LIBRARY NAME FILE.npz`. It writes only the
message of a `UserError` to stdout; what libraries print goes to stderr.
"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from lenet_multi.data.apart import REFUSED, read_found, refuse, write_found
from lenet_multi.data.class_names import Names
from lenet_multi.data.found import Found, Pair
from lenet_multi.errors import UserError


def read(library: str, name: str) -> tuple[dict[str, Pair], Names | None]:
    """Return images and labels by part (see `data.found`) of a set of one of `LIBRARIES`.

    Also return the names of its classes, if it has any.
    The library reports a download on stderr. Raises `UserError` when it is missing, or cannot find
    or read the set.
    """
    source = f"--data {library}:{name}"
    with tempfile.TemporaryDirectory(prefix="lenet-multi-") as folder:
        path = Path(folder, "arrays.npz")
        done = subprocess.run(
            [sys.executable, "-m", __name__, library, name, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        if done.returncode == REFUSED:
            raise UserError(f"{source}: {os.fsdecode(done.stdout)}")
        if done.returncode:
            raise UserError(f"{source}: its reader ended with status {done.returncode}; see above")
        found = read_found(path)
        return found.parts, found.class_names


def main(library: str, name: str, path: str) -> None:
    """Write the image set `name` to `path`, an .npz; the second process runs this."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            read = importlib.import_module(f"lenet_multi.data.sources.{library}").read
            pairs, names = read(name)
            write_found(Path(path), Found(pairs, class_names=tuple(names or ()) or None))
    except UserError as error:
        refuse(error)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process reports Ctrl-C
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder: a datasets.py there would hide the library
    main(*sys.argv[1:])
