"""Read `.npz` archives of plain arrays; refuse pickled objects, which could run code."""

import math
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bombs_in
from lenet_multi.data.examples import Arrays
from lenet_multi.errors import UserError, cannot_read, reason

# NumPy warns of a header that Python 2 wrote, or that is damaged so that it looks like one.
warnings.filterwarnings("ignore", "Reading `.npy`")

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return the arrays called `names`; raise `UserError` if the file or one is bad or missing."""
    try:
        with _readable(path):
            archive = zipfile.ZipFile(path)
        with archive:
            files = {member.filename: member for member in archive.infolist()}
            if missing := [name for name in names if f"{name}.npy" not in files]:
                raise UserError(f"{path} lacks {', '.join(missing)}; give {', '.join(names)}")
            members = [files[f"{name}.npy"] for name in names]
            refuse_bombs_in(path, members)
            return [_array(path, archive, member) for member in members]
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error


def names_in(path: Path) -> list[str]:
    """Return the names of the arrays in the file; raise `UserError` like `read_npz`."""
    try:
        with _readable(path), zipfile.ZipFile(path) as archive:
            return [member.removesuffix(".npy") for member in archive.namelist()]
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error


def read_side(path: Path, name: str) -> Arrays:
    """Return the array called `name`, or a dictionary of several, which are called `name`.KEY.

    Raises `UserError` like `read_npz`.
    """
    several = [one for one in names_in(path) if one.startswith(f"{name}.")]
    arrays = read_npz(path, several or [name])
    keys = [one.removeprefix(f"{name}.") for one in several]
    return dict(zip(keys, arrays, strict=True)) if several else arrays[0]


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with _readable(path), archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} is of NumPy's format {version}")
        shape, _, dtype = _HEADERS[version](file)
        announced = math.prod(shape) * dtype.itemsize  # NumPy would allocate this memory
        if not dtype.hasobject and announced != member.file_size - file.tell():
            raise ValueError(f"{member.filename} has another size than its header announces")
        file.seek(0)
        return np.asarray(npy.read_array(file, allow_pickle=False))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise `UserError` for errors of NumPy and zipfile; call nothing else inside."""
    try:
        yield
    except (MemoryError, OSError):
        raise
    except Exception as error:  # of twelve classes; a bug of ours must not pass for a damaged file
        why = reason(error)
        raise UserError(
            f"{path} is no .npz of plain arrays: {why}; copy it again, or use numpy.savez"
        ) from error
