"""Read MATLAB's `.mat` files, through SciPy, or h5py for version 7.3."""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data import h5
from lenet_multi.data.bombs import refuse_bomb
from lenet_multi.data.found import Found, named_arrays
from lenet_multi.errors import UserError, cannot_read, reason
from lenet_multi.machine import extras

_HEADER = 128  # bytes before the first variable of version 5 to 7.2
_ORDERS = {b"IM": "<", b"MI": ">"}  # the end of that header: the order of bytes
_PACKED = 15  # the kind of a variable that zlib packs
_WIDEST = 8  # bytes of a number


def read(path: Path) -> Found:
    """Return the images and labels of a `.mat` file by their arrays' names, in structures too.

    Raises `UserError` when it cannot be read, or announces far more bytes than it has.
    """
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error
    # MATLAB puts its own header of 512 bytes before that of HDF5.
    if start.startswith(h5.SIGNATURE) or start[512:].startswith(h5.SIGNATURE):
        return h5.read(path, reverse=True)
    scipy_io = extras.require("scipy.io")
    try:
        refuse_bomb(path, _unpacked(path))
        shapes = scipy_io.whosmat(path)
        refuse_bomb(path, sum(math.prod(shape) * _WIDEST for _, shape, _ in shapes))
        arrays = dict(_named(scipy_io.loadmat(path)))
    except (UserError, MemoryError):
        raise
    except Exception as error:  # SciPy raises errors of any class on a damaged file
        raise UserError(
            f"{path} is no readable .mat file: {reason(error)}; save it again"
        ) from error
    chosen = named_arrays(path, arrays)
    return Found({part: (arrays[x], arrays[y]) for part, (x, y) in chosen.items()})


def _unpacked(path: Path) -> int:
    """Return how many bytes the packed variables of a file have, as far as it can be a bomb."""
    total, content = 0, path.read_bytes()
    if content[126:128] not in _ORDERS:  # version 4 packs nothing
        return 0
    order, at = _ORDERS[content[126:128]], _HEADER
    while at + 8 <= len(content):
        kind, size = np.frombuffer(content, f"{order}u4", 2, at)
        if kind == _PACKED:
            unpack = zlib.decompressobj()
            rest = content[at + 8 : at + 8 + int(size)]
            while rest and not unpack.eof:
                total += len(unpack.decompress(rest, 2**20))
                rest = unpack.unconsumed_tail
                refuse_bomb(path, total)
        at += 8 + int(size)
    return total


def _named(content: dict[str, Any], before: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of numbers or texts by name, those in structures as STRUCTURE.NAME."""
    for name, value in content.items():
        if name.startswith("__"):
            continue
        array = np.asarray(value)
        if array.dtype.names and array.size == 1:
            only = array.reshape(())[()]
            yield from _named({one: only[one] for one in array.dtype.names}, f"{before}{name}.")
        elif array.dtype.kind in "fiubU":
            yield f"{before}{name}", array
