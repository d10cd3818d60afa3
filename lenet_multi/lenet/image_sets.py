"""Sets of images with a class each: the packaged MNIST, or a user's own."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data import sets
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError

PACKAGED_MNIST = Path(__file__).parent / "mnist"


def load(source: str = "mnist", *, classes: int = 10) -> Dataset:
    """Return the image sets named by `source`: "mnist", or as `data.sets.read` takes it.

    Images are (N, height, width, channels) uint8, labels (N,) uint8.

    Raises `UserError` when something is missing, damaged or no image set.
    """
    read = sets.read_folder(PACKAGED_MNIST) if source == "mnist" else sets.read(source)
    x_train, y_train, x_test, y_test = read
    dataset = Dataset(
        _labelled(x_train, y_train, f"{source} (training)", classes),
        _labelled(x_test, y_test, f"{source} (test)", classes),
    )
    if dataset.test.x.shape[1:] != dataset.train.x.shape[1:]:
        raise UserError(f"{source}: training and test images differ in shape")
    return dataset


def _labelled(images: NDArray[Any], labels: NDArray[Any], name: str, classes: int) -> Examples:
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
    return Examples(images, labels.astype(np.uint8, copy=False))
