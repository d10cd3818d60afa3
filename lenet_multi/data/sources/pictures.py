"""Labelled pictures, one by one, as two arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError, by

SPLITS = ("train", "test")


def stack(
    pairs: Iterable[tuple[NDArray[Any], int]], count: int, split: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the images (N, height, width[, channels]) and labels (N,) of `count` pairs.

    Raises `UserError` when there are none, or the images differ in shape.
    """
    if not count:
        raise UserError(f"its split {split} is empty")
    images, labels = np.empty(0), []
    for index, (image, label) in enumerate(pairs):
        if not index:
            images = np.empty((count, *image.shape), image.dtype)
        if image.shape != images.shape[1:]:
            raise UserError(
                f"the images of its split {split} differ in shape: number {index} is "
                f"{by(image.shape)}, the first {by(images.shape[1:])}; make them alike first"
            )
        images[index] = image
        labels.append(label)
    return images, np.asarray(labels)


def check_splits(found: Iterable[str]) -> None:
    """Raise `UserError` where a split is missing."""
    found = list(found)
    if lacking := [split for split in SPLITS if split not in found]:
        raise UserError(
            f"it has no split {' and no split '.join(lacking)}, only {', '.join(found)}"
        )


def first_of(kind: type, features: dict[str, Any]) -> str:
    """Return the name of the first feature of the type `kind`.

    Raises `UserError` when there is none.
    """
    for name, feature in features.items():
        if isinstance(feature, kind):
            return name
    listed = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    raise UserError(f"it has no {kind.__name__} among its columns: {listed}")
