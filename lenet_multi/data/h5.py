"""Read HDF5 files, among them MATLAB's of version 7.3."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bomb
from lenet_multi.data.found import Found, named_arrays, texts
from lenet_multi.errors import UserError, cannot_read, reason
from lenet_multi.machine import extras

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read(path: Path, *, reverse: bool = False) -> Found:
    """Return the images and labels of an HDF5 file by their arrays' names.

    `reverse` gives the axes in the other order, for MATLAB's. Links to other files are not
    followed. Raises `UserError` when it cannot be read, or its arrays are not of plain numbers or
    texts.
    """
    h5py = extras.require("h5py")
    try:
        with h5py.File(path, "r") as file:
            arrays: dict[str, Any] = {}
            file.visititems(  # it follows no link
                lambda name, item: arrays.update({name: item} if hasattr(item, "shape") else {})
            )
            chosen = named_arrays(path, arrays)
            _refuse_odd(path, [arrays[name] for names in chosen.values() for name in names])
            parts = {
                part: (_array(path, arrays[x], reverse), _array(path, arrays[y], reverse))
                for part, (x, y) in chosen.items()
            }
            return Found(parts)
    except (UserError, MemoryError):
        raise
    except OSError as error:
        if error.errno:
            raise UserError(cannot_read(path, error)) from error
        raise _refusal(path, reason(error)) from error
    except Exception as error:  # h5py raises errors of any class on a damaged file
        raise _refusal(path, reason(error)) from error


def _refuse_odd(path: Path, arrays: list[Any]) -> None:
    refuse_bomb(path, sum(array.nbytes for array in arrays))
    for array in arrays:
        if array.external or array.is_virtual:
            raise UserError(f"{path} keeps {array.name} in another file; save it in one file")


def _array(path: Path, array: Any, reverse: bool) -> NDArray[Any]:
    if array.dtype.kind == "O":  # texts of any length; h5py raises for other objects
        given = array.asstr()[...]
        found = texts(path, given.ravel().tolist()).reshape(given.shape)
    else:
        found = np.asarray(array[...])
    return found.T if reverse else found


def _refusal(path: Path, why: str) -> UserError:
    return UserError(f"{path} is no readable HDF5 file: {why}; save it again")
