"""Read `.npz` archives of plain arrays, and nothing that could run code."""

import math
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bombs_in
from lenet_multi.errors import UserError, reason

# NumPy tells so of a header written by Python 2, or damaged so that it looks like one.
warnings.filterwarnings("ignore", "Reading `.npy`")

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return the arrays called `names` of the archive at `path`; pickled objects never load.

    Raises `UserError` when the file or an array is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, NpzFile):
                raise TypeError("a single array, not an archive")
            assert archive.zip
            files = {member.filename: member for member in archive.zip.infolist()}
            if missing := [name for name in names if f"{name}.npy" not in files]:
                raise UserError(f"{path} lacks {', '.join(missing)}; wanted are {', '.join(names)}")
            members = [files[f"{name}.npy"] for name in names]
            refuse_bombs_in(path, members)
            for member in members:
                _refuse_false_size(archive.zip, member)
            return [archive[member.filename] for member in members]
    except (UserError, MemoryError):
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # NumPy and zipfile raise twelve kinds on what is damaged or foreign
        raise UserError(f"{path} is no .npz of plain arrays: {reason(error)}") from error


def _refuse_false_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raise `ValueError` where a header announces another size; NumPy would take that memory."""
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} is of NumPy's format {version}")
        shape, _, dtype = _HEADERS[version](file)
        announced = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and announced != member.file_size - file.tell():
            raise ValueError(f"{member.filename} has another size than its header announces")
