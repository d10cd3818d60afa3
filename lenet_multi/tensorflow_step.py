"""A training step on TensorFlow that XLA compiles, for whole batches."""

from collections.abc import Callable
from typing import Any

import keras

Tensor = Any  # TensorFlow's

Step = Callable[[tuple[Tensor, Tensor]], dict[str, Tensor]]


def tensorflow_step(model: keras.Model, *, batch_size: int) -> Step:
    """Return Keras's own `train_step` of `model`, compiled for batches of `batch_size` images.

    XLA compiles anew for each number of images, for seconds. So an epoch's last, smaller batch is
    computed without it, as validation and evaluation are (Keras's `jit_compile` has XLA compile
    those too): of six programs one is left.
    """
    import tensorflow as tf

    step: Step = model.train_step
    compiled = tf.function(step, jit_compile=True)

    def train_step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        is_whole = tf.shape(batch[0])[0] == batch_size
        logs: dict[str, Tensor] = tf.cond(is_whole, lambda: compiled(batch), lambda: step(batch))
        return logs

    return train_step
