"""Read IDX files, MNIST's format: a magic number, sizes, then numbers."""

import gzip
import math
import struct
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bomb
from lenet_multi.errors import UserError, by, cannot_read

# By the third byte of the magic number. MNIST has bytes; QMNIST's labels are of four bytes.
_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path, *, dimensions: int) -> NDArray[Any]:
    """Return the array of a plain or gzipped IDX file, read-only, with `dimensions` axes.

    Raises `UserError` when it is missing, has other axes or types, or its header is wrong.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read(file, path, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is truncated or damaged: {error}; copy it again") from error
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error


def _read(file: BufferedReader | gzip.GzipFile, path: Path, dimensions: int) -> NDArray[Any]:
    header = struct.Struct(f">HBB{dimensions}I")
    start = file.read(header.size)
    if len(start) < header.size:
        raise UserError(f"{path} is truncated: its {len(start)} bytes are too few; copy it again")
    zero, kind, axes, *shape = header.unpack(start)
    if (zero, axes) != (0, dimensions) or kind not in _DTYPES:
        raise UserError(f"{path} must be an IDX file with {dimensions} axes, as in MNIST")
    if 0 in shape:
        raise UserError(f"{path} is empty: its header announces {by(shape)}; give another file")
    dtype = np.dtype(_DTYPES[kind])
    announced = math.prod(shape) * dtype.itemsize
    refuse_bomb(path, announced)
    content = file.read(announced + 1)
    if len(content) != announced:
        follow = f"{len(content)} follow" if len(content) < announced else "more follow"
        raise UserError(
            f"{path} is damaged: its header announces {announced} bytes, {follow}; copy it again"
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
