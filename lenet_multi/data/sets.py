"""Image sets as NumPy arrays: the packaged MNIST, a user's own, their split and order."""

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import DATA_SOURCES
from lenet_multi.data.idx import read_idx
from lenet_multi.data.npz import read_npz
from lenet_multi.data.sources import LIBRARIES, reader
from lenet_multi.errors import UserError

PACKAGED_MNIST = Path(__file__).parents[1] / "lenet" / "mnist"

_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class ImageSet:
    """Images (N, height, width, channels) uint8 and their labels (N,) uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "ImageSet":
        return ImageSet(self.images[part], self.labels[part])


@dataclass(frozen=True)
class Dataset:
    """A training and a test set of images of one shape."""

    train: ImageSet
    test: ImageSet

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width, channels."""
        return self.train.images.shape[1:]

    def sha256(self) -> str:
        """Return the SHA-256 over the bytes of all four arrays, as hexadecimal digits."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(np.ascontiguousarray(part.images).data)
            digest.update(np.ascontiguousarray(part.labels).data)
        return digest.hexdigest()


def load(source: str = "mnist", *, classes: int = 10) -> Dataset:
    """Return the image sets named by `source`.

    `source` is "mnist", a folder with the four IDX files (plain or .gz), an .npz with
    x_train, y_train, x_test and y_test (uint8), or LIBRARY:NAME (see `sources`).

    Raises `UserError` when something is missing, damaged or no image set.
    """
    path = Path(source)
    library, _, name = source.partition(":")
    if source == "mnist":
        arrays = _read_folder(PACKAGED_MNIST)
    elif os.path.isdir(path):  # False, not an error, where looking is forbidden
        arrays = _read_folder(path)
    elif path.suffix == ".npz":
        arrays = read_npz(path, reader.ARRAYS)
    elif name and library in LIBRARIES:
        arrays = reader.read(library, name)
    else:
        raise UserError(f"no data at {source!r}: give {DATA_SOURCES}")
    x_train, y_train, x_test, y_test = arrays
    dataset = Dataset(
        _image_set(x_train, y_train, f"{source} (training)", classes),
        _image_set(x_test, y_test, f"{source} (test)", classes),
    )
    if dataset.test.images.shape[1:] != dataset.image_shape:
        raise UserError(f"{source}: training and test images differ in shape")
    return dataset


def _read_folder(folder: Path) -> list[NDArray[np.uint8]]:
    return [read_idx(_find(folder, name), dimensions=int(name[-7])) for name in _IDX_NAMES]


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if os.path.isfile(path):
            return path
    raise UserError(f"{folder} holds neither {name} nor {name}.gz")


def _image_set(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], name: str, classes: int
) -> ImageSet:
    if images.ndim == 3:
        images = images[..., np.newaxis]  # (N, H, W) -> (N, H, W, 1)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # (N, 1) -> (N,), as CIFAR's come
    if images.dtype != np.uint8 or images.ndim != 4:
        raise UserError(
            f"{name}: images must be uint8 of 3 or 4 axes, not {images.dtype} of {images.ndim}"
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{name}: labels must be integers of 1 axis, not {labels.dtype} of {labels.ndim}"
        )
    if len(images) != len(labels):
        raise UserError(f"{name}: {len(images)} images but {len(labels)} labels")
    if not images.size:
        raise UserError(f"{name}: there are no images, or they have no pixels")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise UserError(
            f"{name}: labels run from {low} to {high}, outside 0 to {classes - 1}; see --classes"
        )
    return ImageSet(images, labels.astype(np.uint8, copy=False))


def split(images: ImageSet, validation_split: float) -> tuple[ImageSet, ImageSet]:
    """Return the training and the validation images, cut as Keras's `fit` cuts them.

    `validation_split` is the share of the *last* images that validates.

    Raises `UserError` when either part would be empty.
    """
    at = math.floor(len(images) * (1 - validation_split))
    if not 0 < at < len(images):
        raise UserError(
            f"--validation-split {validation_split} of {len(images)} images leaves {at} for "
            f"training and {len(images) - at} for validation; neither may be 0"
        )
    return images[:at], images[at:]


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order (count,) int64 in which epoch number `epoch`, from 0, sees the images."""
    return np.random.default_rng([seed, epoch]).permutation(count)
