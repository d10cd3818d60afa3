"""Where each backend takes its batches from."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.batches import Batches

TfDataset = Any  # tf.data.Dataset, where TensorFlow is installed
Tensor = Any


def feed(batches: Batches) -> Batches | TfDataset:
    """Return what `fit` and `predict` are to be given for `batches`: the same bits in their order.

    JAX and PyTorch take them from Python as they are. Keras hands TensorFlow each batch through
    a queue between threads, and an epoch takes a quarter longer; there TensorFlow makes them.
    """
    return _by_tensorflow(batches) if keras.backend.backend() == "tensorflow" else batches


def _by_tensorflow(batches: Batches) -> TfDataset:
    """Return a pipeline that asks Python once an epoch, for the order, and gathers by itself."""
    import tensorflow as tf

    # On the CPU, where the pipeline runs: uint8 images, integer or one-hot labels.
    with tf.device("cpu"):
        pixels = tf.constant(batches.images.images)
        labels = tf.constant(batches.labels)

    def gather(chosen: Tensor) -> tuple[Tensor, Tensor]:
        images = tf.cast(tf.gather(pixels, chosen), keras.config.floatx())
        return images / batches.largest_pixel, tf.gather(labels, chosen)

    def in_batches(order: Tensor) -> TfDataset:
        return tf.data.Dataset.from_tensor_slices(order).batch(batches.batch_size)

    def orders() -> Iterator[NDArray[np.int64]]:
        yield batches.order

    signature = tf.TensorSpec((len(batches.images),), np.int64)
    pipeline = (
        tf.data.Dataset.from_generator(orders, output_signature=signature)
        .flat_map(in_batches)
        .map(gather)
        .prefetch(2)
        .apply(tf.data.experimental.assert_cardinality(len(batches)))
    )
    options = tf.data.Options()
    # Left on, the tuner's clean-up at an epoch's end can sleep as long again as the epoch took
    # (TensorFlow 2.21; in stock `fit` too).
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return pipeline.with_options(options)
