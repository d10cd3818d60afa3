"""What a model trains on: inputs and targets, their split, and the order of each epoch."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError

Arrays = Any  # an array, or several in a tuple or a dictionary, as the model takes them
Prepare = Callable[..., Arrays]
"""From inputs as they are stored, NumPy's or a backend's tensors, to a model's input.

The second argument, where given, is the dtype of the result; else it is Keras's floatx.
"""


def as_stored(x: Arrays, dtype: str | None = None) -> Arrays:
    """Return inputs that need no preparation; a `Prepare`."""
    return x


def parts(arrays: Arrays) -> list[Any]:
    """Return the single arrays, in their order."""
    if isinstance(arrays, dict):
        return list(arrays.values())
    return list(arrays) if isinstance(arrays, tuple | list) else [arrays]


def changed(change: Callable[[Any], Any], arrays: Arrays) -> Arrays:
    """Return `arrays` with each single array changed."""
    if isinstance(arrays, dict):
        return {name: change(array) for name, array in arrays.items()}
    return tuple(map(change, arrays)) if isinstance(arrays, tuple | list) else change(arrays)


def are_pictures(x: Arrays) -> bool:
    """Return whether inputs are images (N, height, width, channels) uint8."""
    return isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 4


@dataclass(frozen=True)
class Examples:
    """Inputs `x` and targets `y` of N examples, as they are stored: (N, ...) of any dtype."""

    x: Arrays
    y: Arrays

    def __len__(self) -> int:
        return len(parts(self.y)[0])

    def __getitem__(self, part: slice | NDArray[np.int64]) -> "Examples":
        return Examples(*(changed(lambda array: array[part], side) for side in (self.x, self.y)))


@dataclass(frozen=True)
class Dataset:
    """Examples to train and validate on, and others to test on."""

    train: Examples
    test: Examples

    def sha256(self) -> str:
        """Return the SHA-256 over the bytes of all arrays, as hexadecimal digits."""
        digest = hashlib.sha256()
        for side in (self.train.x, self.train.y, self.test.x, self.test.y):
            for array in parts(side):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def split(examples: Examples, validation_split: float) -> tuple[Examples, Examples]:
    """Return the training examples and the *last* `validation_split` of all, as Keras's `fit` does.

    Raises `UserError` when either part would be empty.
    """
    at = math.floor(len(examples) * (1 - validation_split))
    if not 0 < at < len(examples):
        raise UserError(
            f"--validation-split {validation_split} of {len(examples)} images leaves {at} for "
            f"training and {len(examples) - at} for validation; neither may be 0"
        )
    return examples[:at], examples[at:]


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order (count,) int64 in which epoch number `epoch`, from 0, sees the examples."""
    return np.random.default_rng([seed, epoch]).permutation(count)
