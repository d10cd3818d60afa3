"""Read IDX files, MNIST's own format: a magic number, sizes, then bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError

_UNSIGNED_BYTE = 0x08  # the third byte of the magic number; MNIST has no other type


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of a plain or gzipped IDX file.

    The result is read-only uint8 with `dimensions` axes.

    Raises `UserError` when the file is missing, is no IDX file of that many axes, or
    holds more or fewer bytes than its header says.
    """
    content = _content(path)
    header = struct.Struct(f">HBB{dimensions}I")
    if len(content) < header.size:
        raise UserError(f"{path} is truncated: {len(content)} bytes do not hold an IDX header")
    zero, kind, axes, *shape = header.unpack_from(content)
    if (zero, kind, axes) != (0, _UNSIGNED_BYTE, dimensions):
        raise UserError(
            f"{path} is not an IDX file of unsigned bytes with {dimensions} axes; "
            "MNIST's images have 3 and its labels 1"
        )
    if 0 in shape:
        raise UserError(f"{path} is empty: its header announces {' x '.join(map(str, shape))}")
    if len(content) - header.size != math.prod(shape):
        raise UserError(
            f"{path} is truncated or damaged: its header announces {math.prod(shape)} bytes, "
            f"{len(content) - header.size} follow"
        )
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        packed = path.read_bytes()
        return gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is truncated or damaged: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
