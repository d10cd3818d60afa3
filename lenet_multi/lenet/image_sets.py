"""Sets of labelled images: the packaged MNIST, or a user's own."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import DATA_SOURCES, MOST_CLASSES
from lenet_multi.data import files, idx_folder
from lenet_multi.data.converted import converted
from lenet_multi.data.examples import Dataset, Examples, hold_out
from lenet_multi.data.found import TEST, TRAIN, VALIDATION, WHOLE, Found
from lenet_multi.data.sources import LIBRARIES, reader
from lenet_multi.errors import UserError

PACKAGED_MNIST = Path(__file__).parent / "mnist"


def load(source: str = "mnist", *, classes: int = 10, transpose: bool = False) -> Dataset:
    """Return images (N, height, width, channels) uint8 and labels (N,) uint8 of `source`.

    `source` is "mnist", a file or folder (see `data.files`), or LIBRARY:NAME (see `data.sources`).
    Without a test set, a part of the training images is for the test. `transpose` exchanges rows
    and columns. Raises `UserError` when something is missing, damaged or not an image set.
    """
    dataset = load_test(source, classes=classes, transpose=transpose)
    if not len(dataset.train):
        raise UserError(f"{source} has no training images; give data that have")
    return dataset


def load_test(source: str = "mnist", *, classes: int = 10, transpose: bool = False) -> Dataset:
    """Return the same as `load`, but training images may be missing."""
    unconverted = _read(source)
    if not unconverted.parts:
        raise UserError(f"{source} has no labels; give data that have")
    found = converted(unconverted, source, classes=classes)
    examples = {
        part: _checked(x, y, f"{source} ({_SAID[part]})", classes)
        for part, (x, y) in found.parts.items()
    }
    if transpose:
        examples = {part: transposed(one) for part, one in examples.items()}
    train, test = examples.get(TRAIN) or examples.get(WHOLE), examples.get(TEST)
    some = train or test
    if some is None:
        raise UserError(f"{source} has no labelled training or test images; give data that have")
    for one in examples.values():
        if one.x.shape[1:] != some.x.shape[1:]:
            raise UserError(f"{source}: training and test images differ in shape; make them alike")
    dataset = Dataset(
        train or some[:0],
        test or some[:0],
        validation=examples.get(VALIDATION),
        notes=found.notes + _on_emnist(source, transpose),
        is_sorted=found.is_sorted,
        class_names=found.class_names,
    )
    return dataset if test else hold_out(dataset, source)


def transposed(examples: Examples) -> Examples:
    """Return examples with rows and columns of their images exchanged."""
    return replace(examples, x=np.ascontiguousarray(examples.x.swapaxes(1, 2)))


def _read(source: str) -> Found:
    if source == "mnist":
        return idx_folder.read(PACKAGED_MNIST, idx_folder.sets_in(PACKAGED_MNIST))
    library, _, name = source.partition(":")
    path = Path(os.path.expanduser(source))  # no error for an unknown user
    if name and library in LIBRARIES and not os.path.exists(path):
        return _of_library(library, name)
    if found := files.read(path):
        return found
    raise UserError(f"no data at {source!r}: give {DATA_SOURCES}")


_NO_LABEL = -1  # of a split whose labels are kept secret


def _of_library(library: str, name: str) -> Found:
    pairs, class_names = reader.read(library, name)
    labelled = {part: (x, y) for part, (x, y) in pairs.items() if not (y == _NO_LABEL).all()}
    return Found(
        labelled,
        tuple(
            f"{library}:{name} keeps the labels of its {_SAID[part]} images secret (-1); they are "
            "not used"
            for part in pairs
            if part not in labelled
        ),
        is_sorted=library == "hf",  # it reads folders class by class
        class_names=class_names,
    )


def _on_emnist(source: str, transpose: bool) -> tuple[str, ...]:
    is_emnist = "emnist" in re.split(r"[^a-z0-9]", source.lower())
    words = "EMNIST's own files have rows and columns exchanged; give --transpose, if these are so"
    return (words,) if is_emnist and not transpose else ()


_SAID = {TRAIN: "training", VALIDATION: "validation", TEST: "test", WHOLE: "images"}


def _checked(images: NDArray[Any], labels: NDArray[Any], name: str, classes: int) -> Examples:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        remedy = f"give --classes {high + 1}" if low >= 0 else "give labels from 0"
        if high >= MOST_CLASSES:
            remedy = f"give labels below {MOST_CLASSES}, the most classes"
        raise UserError(
            f"{name}: labels run from {low} to {high}, outside 0 to {classes - 1}; {remedy}"
        )
    return Examples(images, labels.astype(np.uint8, copy=False))
