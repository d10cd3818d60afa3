"""Feed Keras the same batches on every backend."""

import hashlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from lenet_multi.data.sets import ImageSet, epoch_order

Tensor = Any  # the backend's own

# Divides 3,000 and 57,000 validation and 10,000 test images: one shape, compiled once.
EVALUATION_BATCH_SIZE = 500

_AT_A_TIME = 1280  # images: few calls, and a megabyte


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras carries no types
    """Batches of (images float32 in [0, 1], labels), in the order set by `set_epoch`.

    Pixels stay uint8 until their batch is made: a gather of bytes and a division cost no
    more than a gather of floats, and memory holds a quarter.
    """

    largest_pixel = 255

    def __init__(self, images: ImageSet, *, batch_size: int, classes: int | None = None) -> None:
        """Take the images in their stored order; one-hot labels where `classes` is given."""
        super().__init__()
        self.images = images
        self.batch_size = batch_size
        # (N,) uint8 or (N, classes) float32
        self.labels: NDArray[np.generic] = (
            images.labels if classes is None else np.eye(classes, dtype=np.float32)[images.labels]
        )
        self.order = np.arange(len(images))
        self.skipped = 0  # batches of this epoch that were trained on before

    def set_epoch(self, epoch: int, *, seed: int) -> None:
        """Take the images in the order of epoch number `epoch`, from 0."""
        self.order = epoch_order(len(self.images), seed=seed, epoch=epoch)

    def order_sha256(self) -> str:
        """Return the SHA-256 of the present order, as little-endian 64-bit integers."""
        return hashlib.sha256(self.order.astype("<i8").data).hexdigest()

    @property
    def remaining(self) -> NDArray[np.int64]:
        """The order without the batches that are skipped."""
        return self.order[self.skipped * self.batch_size :]

    def __len__(self) -> int:
        return -(-len(self.remaining) // self.batch_size)

    @classmethod
    def scaled(cls, pixels: Tensor) -> Tensor:
        """Return a tensor of uint8 scaled to the bits that NumPy divides to.

        XLA does not divide by a constant, it multiplies by a rounded reciprocal, and 126 of the 256
        values come out another. But 1/255 is 1/256 + 1/256/255. The first part is exact, 256 being
        a power of two, and the second so small that its own rounding is lost: the sum is rounded
        once, like a quotient. Written so, there is no common factor for a compiler to hoist.
        """
        most = ops.cast(pixels, keras.config.floatx()) * (1 / (cls.largest_pixel + 1))
        return most + most * (1 / cls.largest_pixel)

    @classmethod
    def _scale(cls, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.divide(pixels, cls.largest_pixel, dtype=keras.config.floatx())

    def chosen(self, index: int) -> NDArray[np.int64]:
        """Return which images make the batch number `index`, from 0."""
        return self.remaining[index * self.batch_size : (index + 1) * self.batch_size]

    def stored(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.generic]]]:
        """Yield all batches with their pixels as they are stored.

        Some together: (batches, N, H, W, C) and (batches, N, ...); the smaller one by itself.
        """
        order, size = self.remaining, self.batch_size
        whole = len(order) // size * size
        some = max(_AT_A_TIME // size, 1) * size
        for begin in range(0, whole, some):
            yield self._taken(order[begin : min(begin + some, whole)].reshape(-1, size))
        if whole < len(order):
            yield self._taken(order[None, whole:])

    def _taken(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.generic]]:
        # Twice as fast as by index.
        return self.images.images.take(chosen, axis=0), self.labels.take(chosen, axis=0)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        pixels, labels = self._taken(self.chosen(index))
        return self._scale(pixels), labels
