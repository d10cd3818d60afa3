"""Weights of classes, so that the rare ones count as much in the loss as the frequent ones."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.examples import Arrays, Examples
from lenet_multi.errors import UserError, by


def balanced(training: Examples) -> tuple[Examples, dict[str, float]]:
    """Return `training` with a weight for each example, and the weights of the classes.

    A class with n of the N labels weighs N / (classes * n), where only classes with a label count:
    scikit-learn's `compute_class_weight("balanced")`, after King and Zeng (2001), "Logistic
    regression in rare events data". Keras's `fit(class_weight=...)` gives each example the weight
    of its class in the same way. Raises `UserError` when the targets are no labels of classes.
    """
    labels = labels_of(training.y)
    classes, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = len(labels) / (len(classes) * counts)
    by_class = {str(label): float(weight) for label, weight in zip(classes, weights, strict=True)}
    of_examples = weights.astype(np.float32)[places]
    return dataclasses.replace(training, weights=of_examples), by_class


def labels_of(y: Arrays) -> NDArray[np.int64]:
    """Return the label of each example: from whole numbers (N,) or (N, 1), or one-hot (N, C).

    Raises `UserError`, for `balanced`, when the targets are no labels of classes.
    """
    if not isinstance(y, np.ndarray):
        raise UserError(f"--class-weights balanced weighs one target, not {len(y)}; drop it")
    found: Any = y
    if y.ndim == 2 and y.shape[1] > 1 and _is_one_hot(y):
        found = y.argmax(axis=1)
    elif y.ndim == 2 and y.shape[1] == 1:
        found = y[:, 0]
    if found.ndim != 1 or not (np.isfinite(found).all() and np.all(found == np.round(found))):
        shape = f" {by(y.shape[1:])}" if y.ndim > 1 else ""
        raise UserError(
            "--class-weights balanced needs the label of a class for each example, but the targets "
            f"are {y.dtype}{shape}; drop it"
        )
    labels: NDArray[np.int64] = found.astype(np.int64)
    return labels


def _is_one_hot(y: NDArray[Any]) -> bool:
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())
