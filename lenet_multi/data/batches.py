"""Feed Keras the same batches on every backend."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.examples import Arrays, Examples, Prepare, as_stored, changed, epoch_order

# It divides 3,000 and 57,000 validation and 10,000 test images: one shape, compiled once.
EVALUATION_BATCH_SIZE = 500
_AT_A_TIME = 1280  # examples: few calls; of MNIST, one megabyte


class StoredBatch(NamedTuple):
    """A batch whose inputs are not prepared yet."""

    x: Arrays
    y: Arrays
    weights: Arrays = None  # of the examples, if any


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras carries no types
    """Batches of `examples`, in the order set by `set_epoch`, or else as stored.

    A batch is (x, y), or (x, y, weights) where the examples have weights.

    `prepare` turns each batch of stored inputs into the model's input. Gathering bytes and then
    dividing is as fast as gathering floats, and takes a quarter of the memory.
    """

    def __init__(
        self, examples: Examples, *, batch_size: int, prepare: Prepare = as_stored
    ) -> None:
        super().__init__()
        self.examples, self.batch_size, self.prepare = examples, batch_size, prepare
        self.order = np.arange(len(examples))
        self.skipped = 0  # batches of this epoch that the model was trained on before
        self.rank, self.ranks = 0, 1  # of the processes that each get a part of each batch

    def set_epoch(self, epoch: int, *, seed: int) -> None:
        """Set the order of the examples for epoch number `epoch`, from 0."""
        self.order = epoch_order(len(self.examples), seed=seed, epoch=epoch)

    def order_sha256(self) -> str:
        """Return the SHA-256 of the current order, as little-endian 64-bit integers."""
        return hashlib.sha256(self.order.astype("<i8").data).hexdigest()

    @property
    def remaining(self) -> NDArray[np.int64]:
        """The order without the skipped batches."""
        return self.order[self.skipped * self.batch_size :]

    def __len__(self) -> int:
        return -(-len(self.remaining) // self.batch_size)

    def chosen(self, index: int) -> NDArray[np.int64]:
        """Return the indices of the examples in this process's part of batch `index`, from 0."""
        batch = self.remaining[index * self.batch_size : (index + 1) * self.batch_size]
        return np.array_split(batch, self.ranks)[self.rank] if self.ranks > 1 else batch

    def stored(self) -> Iterator[StoredBatch]:
        """Yield all batches as stored: several at once, (batches, N, ...); a smaller last alone."""
        order, size = self.remaining, self.batch_size
        whole = len(order) // size * size
        some = max(_AT_A_TIME // size, 1) * size
        for begin in range(0, whole, some):
            yield self._taken(order[begin : min(begin + some, whole)].reshape(-1, size))
        if whole < len(order):
            yield self._taken(order[None, whole:])

    def _taken(self, chosen: NDArray[np.int64]) -> StoredBatch:
        def take(array: NDArray[Any]) -> NDArray[Any]:
            return array.take(chosen, axis=0)  # twice as fast as array[chosen]

        return StoredBatch(*(changed(take, side) for side in self.examples.sides))

    def __getitem__(self, index: int) -> tuple[Arrays, ...]:
        x, *rest = self._taken(self.chosen(index))[: len(self.examples.sides)]
        return self.prepare(x), *rest
