"""Examples, which are inputs and targets: their split, and their order in each epoch."""

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.class_names import shown
from lenet_multi.errors import UserError, listed

TEST_SHARE = 10  # without data for the test, a tenth of the examples is for it
_SPLIT = 1  # tells the draws of a split from those of an epoch's order
_SO = {
    "training": "the model cannot learn what it does not see",
    "validation": "early stopping and the best checkpoint would judge by the others alone",
}

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
    """Examples for training, others for the test, and what is known about them.

    `validation`: a set of its own; without it, a part of `train` validates. `notes`: lines on what
    was converted or assumed, for people. `is_sorted`: the source may be sorted by its nature, so
    `split` shuffles it. `held_out`: `test` was split off `train`, as the source has no test set.
    `class_names`: the name of each label, from 0, where the source names its classes.
    """

    train: Examples
    test: Examples
    _: KW_ONLY
    validation: Examples | None = None
    notes: tuple[str, ...] = ()
    is_sorted: bool = False
    held_out: bool = False
    class_names: tuple[str, ...] | None = None

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes of all arrays, as hexadecimal digits."""
        digest = hashlib.sha256()
        sets = (self.train, self.test, *([self.validation] if self.validation else []))
        for side in (side for one in sets for side in (one.x, one.y)):
            for array in parts(side):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def split(dataset: Dataset, config: TrainConfig) -> tuple[Examples, Examples]:
    """Return the examples that train and those that validate.

    They are the data set's own validation examples, or else the last ones of its training examples:
    of these in an order drawn from the seed, if they are sorted or the settings say so. Raises
    `UserError` when either would be empty.
    """
    if dataset.validation:
        return dataset.train, dataset.validation
    examples, share = dataset.train, config.validation_split
    at = math.floor(len(examples) * (1 - share))  # the rest validates: Keras's `fit`
    if not 0 < at < len(examples):
        raise UserError(
            f"--validation-split {share} of {len(examples)} images leaves {at} for "
            f"training and {len(examples) - at} for validation; choose one so that neither is 0"
        )
    if dataset.is_sorted or config.shuffle_split:
        examples = examples[drawn_order(len(examples), seed=config.seed)]
    return examples[:at], examples[at:]


def hold_out(dataset: Dataset, source: str, kind: str = "images") -> Dataset:
    """Return a data set without a test set with a tenth of its training examples as the test.

    They are drawn from one seed, whatever that of a run is: every run and every command tests on
    the same. Raises `UserError` when there are fewer than two.
    """
    count = len(dataset.train)
    held = -(-count // TEST_SHARE)
    if held == count:
        raise UserError(f"{source} has {count} {kind} and no test {kind}; give two or more")
    order = drawn_order(count, seed=0)
    note = (
        f"{source} has no test {kind}: {held:,} of its {count:,} training {kind}, drawn by a fixed "
        "seed, are for the test"
    )
    return replace(
        dataset,
        train=dataset.train[np.sort(order[held:])],
        test=dataset.train[np.sort(order[:held])],
        notes=(*dataset.notes, note),
        is_sorted=True,
        held_out=True,
    )


def drawn_order(count: int, *, seed: int) -> NDArray[np.int64]:
    """Return the order (count,) int64 of the examples from which a part is split off."""
    return np.random.default_rng([seed, 0, _SPLIT]).permutation(count)


def class_counts(labels: Arrays) -> dict[str, int]:
    """Return the number of examples of each label (N,), by the label as text, in order."""
    found, counts = np.unique(labels, return_counts=True)
    return {str(label): int(count) for label, count in zip(found, counts, strict=True)}


def left_out(
    counts: Mapping[str, Mapping[str, int]],
    names: Sequence[str] | None = None,
    *,
    remedy: str,
    tested: Collection[str] = (),
    kind: str = "image",
) -> list[str]:
    """Return warnings of the classes that the training or the validation examples lack.

    `counts`: those of `class_counts` of "training" and "validation"; `names`: those of the classes,
    if they have any; `remedy`: what to do; `tested`: the labels of the test examples. An example is
    called `kind`.
    """
    known = {label for each in counts.values() for label in each}
    if len(known) == 1:
        only = shown(names, int(*known))
        return [f"every {kind} to learn from is of class {only}: give {kind}s of another class too"]
    lacks = [(part, known - each.keys(), remedy) for part, each in counts.items()]
    if counts:
        lacks.append(("training", {*tested} - known, f"give {kind}s of every class to train on"))
    return [
        f"no {part} {kind} is of {'class' if len(labels) == 1 else 'classes'} "
        f"{listed(shown(names, label) for label in sorted(map(int, labels)))}: "
        f"{_SO[part]}; {what_to_do}"
        for part, labels, what_to_do in lacks
        if labels
    ]


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order (count,) int64 of the examples in epoch number `epoch`, from 0."""
    return np.random.default_rng([seed, epoch]).permutation(count)
