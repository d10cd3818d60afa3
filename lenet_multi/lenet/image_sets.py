"""Sets of labelled images: the packaged MNIST, or a user's own."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import DATA_SOURCES
from lenet_multi.data.class_names import Names, by_value
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.data.idx import read_idx
from lenet_multi.data.npz import read_npz
from lenet_multi.data.sources import LIBRARIES, reader
from lenet_multi.errors import UserError

PACKAGED_MNIST = Path(__file__).parent / "mnist"

_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load(source: str = "mnist", *, classes: int = 10) -> Dataset:
    """Return images (N, height, width, channels) uint8 and labels (N,) uint8 of `source`.

    `source` is "mnist", a folder with four IDX files (plain or .gz), an .npz with the arrays
    x_train, y_train, x_test and y_test, or LIBRARY:NAME (see `data.sources`). Raises `UserError`
    when something is missing, damaged or not an image set.
    """
    (x_train, y_train, x_test, y_test), names = _read(source)
    (y_train, y_test), names = by_value([y_train, y_test], names, classes)
    dataset = Dataset(
        _labelled(x_train, y_train, f"{source} (training)", classes),
        _labelled(x_test, y_test, f"{source} (test)", classes),
        class_names=names,
    )
    if dataset.test.x.shape[1:] != dataset.train.x.shape[1:]:
        raise UserError(f"{source}: training and test images differ in shape; make them alike")
    return dataset


def _read(source: str) -> tuple[list[NDArray[Any]], Names | None]:
    path = PACKAGED_MNIST if source == "mnist" else Path(source)
    library, _, name = source.partition(":")
    if source == "mnist" or os.path.isdir(path):  # no error if access is denied
        return [_read_idx(path, name) for name in _IDX_NAMES], None
    if path.suffix == ".npz":
        return read_npz(path, reader.ARRAYS), None
    if name and library in LIBRARIES:
        return reader.read(library, name)
    raise UserError(f"no data at {source!r}: give {DATA_SOURCES}")


def _read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    for path in (folder / name, folder / f"{name}.gz"):
        if os.path.isfile(path):
            return read_idx(path, dimensions=int(name[-7]))
    raise UserError(f"{folder} holds neither {name} nor {name}.gz; put one of them there")


def _labelled(images: NDArray[Any], labels: NDArray[Any], name: str, classes: int) -> Examples:
    if images.ndim == 3:
        images = images[..., np.newaxis]  # (N, H, W) -> (N, H, W, 1)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # (N, 1) -> (N,), for CIFAR
    if images.dtype != np.uint8 or images.ndim != 4:
        raise UserError(
            f"{name}: images must be uint8 of 3 or 4 axes, not {images.dtype} of {images.ndim}"
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{name}: labels must be integers of 1 axis, not {labels.dtype} of {labels.ndim}"
        )
    if len(images) != len(labels):
        raise UserError(
            f"{name}: {len(images)} images but {len(labels)} labels; give as many of both"
        )
    if not images.size:
        raise UserError(f"{name}: there are no images, or they have no pixels; give others")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise UserError(
            f"{name}: labels run from {low} to {high}, outside 0 to {classes - 1}; see --classes"
        )
    return Examples(images, labels.astype(np.uint8, copy=False))
