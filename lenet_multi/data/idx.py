"""Read IDX files, MNIST's format: a magic number, sizes, then bytes."""

import gzip
import math
import struct
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bomb
from lenet_multi.errors import UserError, by, cannot_read

_UNSIGNED_BYTE = 0x08  # the third byte of the magic number; all of MNIST has this type


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of a plain or gzipped IDX file: read-only uint8 with `dimensions` axes.

    Raises `UserError` when it is missing, has other axes or types, or its header is wrong.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read(file, path, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is truncated or damaged: {error}; copy it again") from error
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error


def _read(file: BufferedReader | gzip.GzipFile, path: Path, dimensions: int) -> NDArray[np.uint8]:
    header = struct.Struct(f">HBB{dimensions}I")
    start = file.read(header.size)
    if len(start) < header.size:
        raise UserError(f"{path} is truncated: its {len(start)} bytes are too few; copy it again")
    zero, kind, axes, *shape = header.unpack(start)
    if (zero, kind, axes) != (0, _UNSIGNED_BYTE, dimensions):
        raise UserError(f"{path} must be an IDX file of bytes with {dimensions} axes, as in MNIST")
    if 0 in shape:
        raise UserError(f"{path} is empty: its header announces {by(shape)}; give another file")
    announced = math.prod(shape)
    refuse_bomb(path, announced)
    content = file.read(announced + 1)
    if len(content) != announced:
        follow = f"{len(content)} follow" if len(content) < announced else "more follow"
        raise UserError(
            f"{path} is damaged: its header announces {announced} bytes, {follow}; copy it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
