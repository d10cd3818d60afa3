"""Count and weigh answers in NumPy, the same for every backend."""

import numpy as np
from numpy.typing import NDArray


def count_correct(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> int:
    """Return how many rows of `logits` (N, classes) are largest at their label (N,)."""
    return int(np.count_nonzero(logits.argmax(axis=1) == labels))


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Return the mean over rows of log(sum(exp(logits))) - logits[label], in float64 nats."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)  # so that exp cannot overflow
    of_label = shifted[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - of_label))
