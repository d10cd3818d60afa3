"""Read `.npz` archives and `.npy` files of plain arrays; refuse pickles, which could run code."""

import math
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bombs_in
from lenet_multi.data.examples import Arrays
from lenet_multi.data.found import Found, named_arrays
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
            return [_member(path, archive, member) for member in members]
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error


def read(path: Path) -> Found:
    """Return the images and labels of an `.npz` by their arrays' names; raise like `read_npz`."""
    chosen = named_arrays(path, names_in(path))
    arrays = iter(read_npz(path, [name for names in chosen.values() for name in names]))
    return Found({part: (next(arrays), next(arrays)) for part in chosen})


def read_npy(folder: Path) -> Found:
    """Return the images and labels in the `.npy` files of a folder, by the files' names.

    Raises `UserError` when one is missing, damaged or pickled.
    """
    paths = sorted(path for path in folder.glob("*.npy") if path.is_file())
    chosen = named_arrays(folder, [path.stem for path in paths])
    return Found(
        {
            part: (_of_npy(folder / f"{x}.npy"), _of_npy(folder / f"{y}.npy"))
            for part, (x, y) in chosen.items()
        }
    )


def _of_npy(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file, _readable(path, ".npy of a plain array", "numpy.save"):
            return _array(file, path.name, path.stat().st_size)
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


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with _readable(path), archive.open(member) as file:
        return _array(file, member.filename, member.file_size)


def _array(file: IO[bytes], name: str, size: int) -> NDArray[Any]:
    """Return the array in a file of `size` bytes called `name`, which its header must announce."""
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} is of NumPy's format {version}")
    shape, _, dtype = _HEADERS[version](file)
    announced = math.prod(shape) * dtype.itemsize  # NumPy would allocate this memory
    if not dtype.hasobject and announced != size - file.tell():
        raise ValueError(f"{name} has another size than its header announces")
    file.seek(0)
    return np.asarray(npy.read_array(file, allow_pickle=False))


@contextmanager
def _readable(
    path: Path, kind: str = ".npz of plain arrays", way: str = "numpy.savez"
) -> Iterator[None]:
    """Raise `UserError` for errors of NumPy and zipfile; call nothing else inside."""
    try:
        yield
    except (MemoryError, OSError):
        raise
    except Exception as error:  # of twelve classes; a bug of ours must not pass for a damaged file
        why = reason(error)
        raise UserError(f"{path} is no {kind}: {why}; copy it again, or use {way}") from error
