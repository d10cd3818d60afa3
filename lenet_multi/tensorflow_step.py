"""A training step on TensorFlow that XLA compiles, for whole batches."""

from typing import Any

import keras

from lenet_multi.batches import Batches
from lenet_multi.pipeline import scaled_by

Tensor = Any  # TensorFlow's


class TensorFlowStep:
    """Keras's own `train_step` of a model, compiled for batches of `batch_size` images.

    XLA compiles anew for each number of images, for seconds. So an epoch's last, smaller batch is
    computed without it, as validation and evaluation are (Keras's `jit_compile` has XLA compile
    those too): of six programs one is left.

    Images may come as `Batches` has them, or as bytes, which are a quarter to hand over, and are
    then scaled within.
    """

    def __init__(self, model: keras.Model, *, batch_size: int) -> None:
        import tensorflow as tf

        self.batch_size = batch_size
        self.keras_step = model.train_step
        self.scale = scaled_by(Batches.largest_pixel)
        self.compiled = tf.function(self.step, jit_compile=True)

    def __call__(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Train on a batch and return the metrics."""
        import tensorflow as tf

        is_whole = tf.shape(batch[0])[0] == self.batch_size
        logs: dict[str, Tensor] = tf.cond(
            is_whole, lambda: self.compiled(batch), lambda: self.step(batch)
        )
        return logs

    def step(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Do the same, as TensorFlow computes it by itself."""
        images, *others = batch  # labels; from `train_on_batch` their weights too
        if images.dtype.is_integer:
            images = self.scale(images)
        logs: dict[str, Tensor] = self.keras_step((images, *others))
        return logs
