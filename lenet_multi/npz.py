"""Read `.npz` archives of plain arrays, and nothing that could run code."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError

# What NumPy and zipfile raise on damaged, encrypted or foreign archives and members.
_DAMAGE = (
    AttributeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return the arrays called `names` of the archive at `path`; pickled objects never load.

    Raises `UserError` when the file or an array is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise UserError(f"{path} lacks {', '.join(missing)}; wanted are {', '.join(names)}")
            arrays = [archive[name] for name in names]
    except _DAMAGE as error:
        raise UserError(f"{path} is no .npz of plain arrays: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise UserError(f"{path} is no .npz of plain arrays: a member is something else")
    return arrays
