"""Read images and labels of a user's file or folder, each kind through the module of its name."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data import apart, csv, folders, idx_folder, npz
from lenet_multi.data.found import Found, Pair, part_of
from lenet_multi.errors import UserError, cannot_read, listed

_READERS: Mapping[str, Callable[[Path], Found]] = {
    ".npz": npz.read,
    ".csv": csv.read,
    ".tsv": csv.read,
    ".mat": partial(apart.read, "mat"),
    ".h5": partial(apart.read, "h5"),
    ".hdf5": partial(apart.read, "h5"),
    ".parquet": partial(apart.read, "parquet"),
}
KINDS = (
    ".npz, .csv, .mat, .h5, .parquet, or a folder of IDX files, of .npy files, of a folder of "
    "pictures for each class, or of pictures with labels.csv"
)
_DEEPEST = 8  # folders that hold nothing but one folder
_CONVERT = "python -c \"import numpy; numpy.savez('data.npz', x_train=..., y_train=...)\""


def read(path: Path) -> Found | None:
    """Return the images and labels at `path`; None if nothing is there.

    `path` may also be a folder and the name of a set of IDX files in it, such as
    gzip/emnist-letters. Raises `UserError` when what is there cannot be read.
    """
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.is_file():
            return _of_file(path)
        if path.exists():  # a pipe or a device: reading it may never end
            raise UserError(f"{path} is neither a file nor a folder; give one of these")
        found = idx_folder.sets_in(path.parent)
        named = {key: files for key, files in found.items() if key[1] == path.name}
        return idx_folder.read(path, named) if named else None
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error


def _of_file(path: Path) -> Found:
    if reader := _READERS.get(path.suffix.lower()):
        return reader(path).renamed(part_of(path.stem))
    if path.suffix == ".npy":
        raise UserError(
            f"{path} is one array; give its folder, with images and labels named as x_train.npy "
            "and y_train.npy"
        )
    raise UserError(
        f"{path} is there, but no kind that is read: {KINDS}; save its arrays with {_CONVERT}"
    )


def _of_folder(folder: Path, deeper: int = _DEEPEST) -> Found:
    if sets := idx_folder.sets_in(folder):
        return idx_folder.read(folder, sets)
    if any(path.is_file() for path in folder.glob("*.npy")):
        return npz.read_npy(folder)
    if found := folders.read(folder):
        return found
    if found := _of_tables(folder):
        return found
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    if sets := dict(chain.from_iterable(idx_folder.sets_in(path).items() for path in inside)):
        return idx_folder.read(folder, sets)
    inside = [path for path in inside if path.name[0] not in "._"]
    if deeper and len(inside) == 1:  # as archives unpack, maybe beside a README
        return _of_folder(inside[0], deeper - 1)
    folders.refuse_unlabelled(folder)
    names = listed(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise UserError(
        f"{folder} holds {names}, no data that are read; give IDX files such as "
        f"train-images-idx3-ubyte, or {KINDS}"
    )


def _of_tables(folder: Path) -> Found | None:
    """Return what the only readable file of a folder has, or those with a part in their names."""
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in _READERS and path.is_file()
    )
    of_parts = [path for path in files if part_of(path.stem)]
    chosen = of_parts or files
    if not chosen:
        return None
    if not of_parts and len(files) > 1:
        raise UserError(f"{folder} holds {listed(path.name for path in files)}; give one of them")
    if len({path.suffix.lower() for path in chosen}) > 1:
        raise UserError(
            f"{folder} holds {listed(path.name for path in chosen)}; leave files of one kind there"
        )
    # Pieces of one part differ by numbers alone: train-00000-of-00002, train-00001-of-00002.
    words = {(part_of(path.stem), re.sub(r"\d", "", path.stem)) for path in chosen}
    if len(words) > len({part for part, _ in words}):
        raise UserError(
            f"{folder} holds several sets: {listed(path.name for path in chosen)}; give one of them"
        )
    found = _joined(folder, [_of_file(path) for path in chosen])
    others = [path.name for path in files if path not in chosen]
    notes = (f"{folder} also holds {listed(others)}; only its parts are used",) if others else ()
    if not of_parts and len([*folder.iterdir()]) > 1:
        notes = (f"{chosen[0]} is read, not what lies beside it",)
    return replace(found, notes=(*notes, *found.notes))


def _joined(folder: Path, several: list[Found]) -> Found:
    """Return the parts of several files as one; those of one part are put together in order."""
    parts: dict[str, Pair] = {}
    for part in dict.fromkeys(chain.from_iterable(one.parts for one in several)):
        images, labels = zip(
            *(one.parts[part] for one in several if part in one.parts), strict=True
        )
        if len({array.shape[1:] for array in images}) > 1:
            raise UserError(f"{folder}: the images of its files differ in shape; make them alike")
        parts[part] = _together(images), _together(labels)
    names = {one.class_names for one in several}
    notes = tuple(chain.from_iterable(one.notes for one in several))
    return Found(parts, notes, class_names=names.pop() if len(names) == 1 else None)


def _together(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
