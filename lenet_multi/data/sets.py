"""Read the arrays of a labelled set: from files, or by a library."""

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lenet_multi.config import DATA_SOURCES
from lenet_multi.data.idx import read_idx
from lenet_multi.data.npz import read_npz
from lenet_multi.data.sources import LIBRARIES, reader
from lenet_multi.errors import UserError

_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read(source: str) -> list[NDArray[Any]]:
    """Return x_train, y_train, x_test and y_test of the set named by `source`.

    `source` is a folder with four IDX files (plain or .gz), an .npz with arrays of these names, or
    LIBRARY:NAME (see `sources`).

    Raises `UserError` when something is missing or damaged.
    """
    path = Path(source)
    library, _, name = source.partition(":")
    if os.path.isdir(path):  # False, not an error, where looking is forbidden
        return read_folder(path)
    if path.suffix == ".npz":
        return read_npz(path, reader.ARRAYS)
    if name and library in LIBRARIES:
        return reader.read(library, name)
    raise UserError(f"no data at {source!r}: give {DATA_SOURCES}")


def read_folder(folder: Path) -> list[NDArray[Any]]:
    """Return the arrays of a folder with four IDX files."""
    return [read_idx(_find(folder, name), dimensions=int(name[-7])) for name in _IDX_NAMES]


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if os.path.isfile(path):
            return path
    raise UserError(f"{folder} holds neither {name} nor {name}.gz")
