"""Labelled pictures, row by row, as two arrays."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.found import TEST, TRAIN, part_of
from lenet_multi.errors import UserError, by, listed


def stack(
    rows: Sequence[Any],
    names: tuple[str, str],
    split: str,
    pixels: Callable[[Any], NDArray[Any]] = np.asarray,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the images (N, height, width[, channels]) and labels (N,) of `rows`.

    `names`: a row's keys for its image, which `pixels` turns into an array, and its label. Raises
    `UserError` when there are no rows, or the images differ in shape.
    """
    if not len(rows):
        raise UserError(f"its split {split} is empty; choose another data set")
    images, labels = np.empty(0), []
    for index, row in enumerate(rows):
        image = pixels(row[names[0]])
        if not index:
            images = np.empty((len(rows), *image.shape), image.dtype)
        if image.shape != images.shape[1:]:
            raise UserError(
                f"the images of its split {split} differ in shape: number {index} is "
                f"{by(image.shape)}, the first {by(images.shape[1:])}; make them alike first"
            )
        images[index] = image
        labels.append(row[names[1]])
    return images, np.asarray(labels)


def splits_of(found: Iterable[str]) -> dict[str, str]:
    """Return the name of the split of each part: train, test and validation, or dev.

    Raises `UserError` when it has neither the first nor the second.
    """
    found = list(found)
    of_parts: dict[str, str] = {}
    for name in found:
        if name.isalpha() and (part := part_of(name)):
            of_parts.setdefault(part, name)
    if not {TRAIN, TEST} & of_parts.keys():
        raise UserError(f"it must have a split train or test, but has {listed(found)}")
    return of_parts


def first_of(kind: type, features: dict[str, Any]) -> str:
    """Return the name of the first feature of type `kind`; raise `UserError` if there is none."""
    for name, feature in features.items():
        if isinstance(feature, kind):
            return name
    found = listed(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    raise UserError(f"it must have a column of type {kind.__name__}, but has {found}")
