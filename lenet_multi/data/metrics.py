"""Compute metrics of a model's outputs in NumPy, the same for every backend."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.examples import Arrays, named

_ROUNDING = 1e-2  # error of a sum of probabilities in bfloat16, which has 8 bits


def count_correct(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> int:
    """Return the number of rows of `logits` (N, classes) whose maximum is at their label (N,)."""
    return int(np.count_nonzero(logits.argmax(axis=1) == labels))


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Return the mean of `cross_entropies`."""
    return float(np.mean(cross_entropies(logits, labels)))


def cross_entropies(
    logits: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return log(sum(exp(logits))) - logits[label] for each row (N, classes): (N,) nats."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)  # keeps exp from overflowing
    of_label = shifted[np.arange(len(labels)), labels]
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - of_label)


def as_probabilities(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a model's outputs (N, classes), logits or probabilities, as probabilities."""
    values = outputs.astype(np.float64)
    if _are_probabilities(outputs):
        return values
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def as_logits(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a model's outputs (N, classes), logits or probabilities, as logits."""
    if not _are_probabilities(outputs):
        return outputs
    return np.log(np.maximum(outputs, np.finfo(np.float32).tiny))


def _are_probabilities(outputs: NDArray[np.float32]) -> bool:
    """Return whether all rows are non-negative and sum to 1; logits do so only by chance."""
    return outputs.min(initial=0) >= 0 and np.allclose(outputs.sum(axis=1), 1, atol=_ROUNDING)


def calibration(
    outputs: NDArray[np.float32], labels: NDArray[np.integer], bins: int = 15
) -> NDArray[np.float64]:
    """Return the images, the mean confidence and the share of right answers of each bin: (bins, 3).

    Confidence is the largest probability; the bins have equal widths. An empty bin has zeros.
    """
    probabilities = as_probabilities(outputs)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    sums = [np.bincount(place, of, bins) for of in (np.ones(len(right)), confidence, right)]
    counts = np.maximum(sums[0], 1)
    return np.stack([sums[0], sums[1] / counts, sums[2] / counts], axis=1)


def calibration_error(outputs: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy by bin.

    Source: Guo et al., 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    images, confidence, accuracy = calibration(outputs, labels).T
    return float((images * np.abs(confidence - accuracy)).sum() / images.sum())


def errors(outputs: Arrays, targets: Arrays) -> dict[str, float]:
    """Return mean errors (float64) by Keras's names, with an output's name in front of several.

    An output (N, ...) whose targets are missing or differ in size has none.
    """
    of_name = named(targets)
    return {
        f"{name}_{metric}" if name else metric: value
        for name, array in sorted(named(outputs).items())
        if name in of_name
        for metric, value in _errors(array, of_name[name]).items()
    }


def _errors(outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
    if outputs.size != targets.size:
        return {}
    difference = outputs.astype(np.float64) - targets.astype(np.float64).reshape(outputs.shape)
    return {
        "mean_squared_error": float(np.mean(difference**2)),
        "mean_absolute_error": float(np.mean(np.abs(difference))),
    }


def worst_first(
    wrong: NDArray[np.bool_], badness: NDArray[np.floating], at_most: int
) -> NDArray[np.int64]:
    """Return at most `at_most` indices where `wrong` (N,) is true, largest `badness` (N,) first."""
    places = np.flatnonzero(wrong)
    return places[np.argsort(-badness[places], kind="stable")][:at_most]


def confusion_matrix(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of images by label and answer: (classes, classes), label first."""
    classes = logits.shape[1]
    pairs = labels.astype(np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
