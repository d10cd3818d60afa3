"""Examples, which are inputs and targets: their split, and their order in each epoch."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError

Arrays = Any  # an array, or a tuple or dictionary of arrays, as the model takes them
Prepare = Callable[..., Arrays]
"""From inputs, arrays or tensors, and a dtype (default: Keras's floatx), to a model's input."""


def as_stored(x: Arrays, dtype: str | None = None) -> Arrays:
    """Return `x` unchanged; a `Prepare` for inputs that need no preparation."""
    return x


def parts(arrays: Arrays) -> list[Any]:
    """Return the list of single arrays, in their order."""
    if isinstance(arrays, dict):
        return list(arrays.values())
    return list(arrays) if isinstance(arrays, tuple | list) else [arrays]


def named(arrays: Arrays, name: str = "") -> dict[str, Any]:
    """Return the single arrays by name: keys and positions joined by dots; "" is a lone array."""
    if isinstance(arrays, dict):
        items = [(str(key), part) for key, part in arrays.items()]
    elif isinstance(arrays, tuple | list):
        items = [(str(place), part) for place, part in enumerate(arrays)]
    else:
        return {name: arrays}
    found: dict[str, Any] = {}
    for key, part in items:
        found |= named(part, f"{name}.{key}" if name else key)
    return found


def changed(change: Callable[[Any], Any], arrays: Arrays) -> Arrays:
    """Return `arrays` with `change` applied to each single array."""
    if isinstance(arrays, dict):
        return {name: change(array) for name, array in arrays.items()}
    return tuple(map(change, arrays)) if isinstance(arrays, tuple | list) else change(arrays)


def are_pictures(x: Arrays) -> bool:
    """Return whether `x` is an array of images (N, height, width, channels) uint8."""
    return isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 4


@dataclass(frozen=True)
class Examples:
    """Stored inputs `x` and targets `y` of N examples: (N, ...) of any dtype.

    `weights` (N,) float32 are how much each example counts in the training loss (default: 1).
    """

    x: Arrays
    y: Arrays
    weights: NDArray[np.float32] | None = None

    @property
    def sides(self) -> tuple[Arrays, ...]:
        """Inputs, targets, and the weights if there are any: what a batch holds."""
        return (self.x, self.y) if self.weights is None else (self.x, self.y, self.weights)

    def __len__(self) -> int:
        return len(parts(self.y)[0])

    def __getitem__(self, part: slice | NDArray[np.int64]) -> "Examples":
        return Examples(*(changed(lambda array: array[part], side) for side in self.sides))


@dataclass(frozen=True)
class Dataset:
    """Examples for training and validation, and others for the test."""

    train: Examples
    test: Examples

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes of all arrays, as hexadecimal digits."""
        digest = hashlib.sha256()
        for side in (self.train.x, self.train.y, self.test.x, self.test.y):
            for array in parts(side):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def split(examples: Examples, validation_split: float) -> tuple[Examples, Examples]:
    """Return training and validation examples; raise `UserError` if either would be empty."""
    at = math.floor(len(examples) * (1 - validation_split))  # the rest validates: Keras's `fit`
    if not 0 < at < len(examples):
        raise UserError(
            f"--validation-split {validation_split} of {len(examples)} images leaves {at} for "
            f"training and {len(examples) - at} for validation; choose one so that neither is 0"
        )
    return examples[:at], examples[at:]


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order (count,) int64 of the examples in epoch number `epoch`, from 0."""
    return np.random.default_rng([seed, epoch]).permutation(count)
