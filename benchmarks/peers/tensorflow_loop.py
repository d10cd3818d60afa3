"""TensorFlow as its best practitioners write it: a tf.function of ten steps, data inside.

Seconds per 60,000 images on two cores: stock order 4.6; pooling before bias and ReLU 4.4, with ten
steps per call 3.9, with Adam in one kernel 3.7; as matrix products 7.7, with XLA 4.5, with ten
steps per call 4.2; pooling by reshaping 7.0, with XLA 6.1. XLA is the fastest with Winograd's
second layer, the batch last in memory, and malloc keeping freed memory (`malloc`); a loop over the
ten steps saves another thirtieth. In bfloat16, the convolutions are the fastest.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.peers import (
    BETA_1,
    BETA_2,
    EPSILON,
    RATE,
    Bytes,
    Epoch,
    Figures,
    Loop,
    initial_weights,
)
from benchmarks.peers.malloc import keep_freed_memory
from benchmarks.peers.winograd import OF_IMAGES, OF_PRODUCTS, OF_TAPS, ROUNDING

STEPS = 10  # in one call

Tensor = Any
Block = Callable[[Tensor, Tensor, Tensor], Tensor]


def pool_first_block(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return ReLU of the pooled convolution plus the bias."""
    convolved = tf.nn.conv2d(images, kernel, 1, "VALID")
    return tf.nn.relu(tf.nn.bias_add(tf.nn.max_pool2d(convolved, 2, 2, "VALID"), bias))


def products_block(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return the same values, computed by matrix products."""
    return (_first if kernel.shape[2] == 1 else _second)(images, kernel, bias)


def _first(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return the first block's outputs (N, 12, 12, 20), computed as `backends.forms.tiles` does."""
    pixels = tf.transpose(images[..., 0], (1, 2, 0))
    views = [pixels[i : i + 21 : 4, j : j + 23 : 2] for i, j in product(range(8), range(6))]
    filters = tf.transpose(kernel[:, :, 0], (2, 0, 1))
    copies = [
        tf.pad(filters, ((0, 0), (p + row, 3 - p - row), (q, 1 - q)))
        for p, q, row in product(range(2), range(2), (0, 2))
    ]
    convolved = tf.reshape(tf.stack(copies), (160, 48)) @ tf.reshape(tf.stack(views), (48, -1))
    best = _largest(tf.unstack(tf.reshape(convolved, (4, -1))))
    blocks = tf.nn.relu(tf.reshape(best, (2, 20, 6, 12, -1)) + bias[:, None, None, None])
    return tf.reshape(tf.transpose(blocks, (4, 2, 0, 3, 1)), (-1, 12, 12, 20))


def _second(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return the second block's outputs (N, 4, 4, 50), as `backends.forms.winograd` does."""
    columns = tf.transpose(tf.reshape(images, (-1, 6, 2, 12, 20)), (3, 2, 4, 1, 0))
    sums = tf.reshape(OF_IMAGES @ tf.reshape(columns, (12, -1)), (8, 2, 40, 6, -1))
    sums = tf.transpose(sums, (0, 2, 3, 1, 4))
    patches = tf.stack([sums[:, :, i : i + 4] for i in range(3)], 1)
    taps = OF_TAPS @ tf.reshape(tf.transpose(kernel, (1, 3, 0, 2)), (5, -1))
    taps = tf.reshape(taps, (8, 50, 5, 20))
    places = [tf.pad(taps, ((0, 0), (0, 0), (i, 1 - i), (0, 0))) for i in range(2)]
    products = tf.reshape(tf.stack(places, 1), (8, 100, 120)) @ tf.reshape(patches, (8, 120, -1))
    windows = tf.reshape(OF_PRODUCTS @ tf.reshape(products, (8, -1)), (2, 2, 2, -1))
    best = _largest([windows[:, j, i] for i in range(2) for j in range(2)])
    noise = tf.abs(best) <= ROUNDING * tf.reduce_max(tf.abs(best))
    best -= tf.stop_gradient(tf.where(noise, best, tf.zeros_like(best)))
    blocks = tf.nn.relu(tf.reshape(best, (2, 50, 4, 2, -1)) + bias[:, None, None, None])
    return tf.reshape(tf.transpose(blocks, (4, 2, 3, 0, 1)), (-1, 4, 4, 50))


def _largest(values: list[Tensor]) -> Tensor:
    best, *others = values
    for other in others:
        best = tf.where(best >= other, best, other)
    return best


def graph(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch through TensorFlow's own convolution, without XLA."""
    return _epoch(images, labels, batch_size, pool_first_block)


def xla(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch compiled by XLA; on a CPU it uses matrix products."""
    keep_freed_memory()
    on_gpu = tf.config.list_physical_devices("GPU")
    block = pool_first_block if on_gpu else products_block
    return _epoch(images, labels, batch_size, block, jit_compile=True)


def bfloat16(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch with convolutions and matrix products in bfloat16."""
    return _epoch(images, labels, batch_size, pool_first_block, dtype=tf.bfloat16)


def _epoch(
    images: Bytes,
    labels: Bytes,
    batch_size: int,
    block: Block,
    *,
    jit_compile: bool = False,
    dtype: Any = tf.float32,
) -> Epoch:
    all_pixels, all_labels = tf.constant(images), tf.constant(labels.astype(np.int32))
    weights = [tf.Variable(weight) for weight in initial_weights()]
    means, squares = ([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2))
    time, losses, right = tf.Variable(0.0), tf.Variable(0.0), tf.Variable(0)

    def loss_of(images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        k1, b1, k2, b2, w1, c1, w2, c2 = (tf.cast(weight, dtype) for weight in weights)
        images = block(block(tf.cast(images, dtype), k1, b1), k2, b2)
        logits = tf.nn.relu(tf.reshape(images, (-1, 800)) @ w1 + c1) @ w2 + c2
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, tf.cast(logits, tf.float32))
        )
        answers = tf.argmax(logits, 1, wanted.dtype)
        return loss, tf.math.count_nonzero(answers == wanted, dtype=right.dtype)

    def step(chosen: Tensor) -> None:
        pixels = tf.ensure_shape(tf.gather(all_pixels, chosen), (None, *images.shape[1:]))
        wanted = tf.gather(all_labels, chosen)
        with tf.GradientTape() as tape:
            loss, now_right = loss_of(tf.cast(pixels, tf.float32) / 255, wanted)
        gradients = tape.gradient(loss, weights)
        time.assign_add(1.0)
        for w, m, v, g in zip(weights, means, squares, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=w.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=BETA_1**time,
                beta2_power=BETA_2**time,
                lr=RATE,
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=EPSILON,
                grad=g,
            )
        losses.assign_add(loss * tf.cast(tf.size(chosen), tf.float32))
        right.assign_add(now_right)

    @tf.function(jit_compile=jit_compile)  # type: ignore[untyped-decorator]
    def steps(chosen: Tensor, count: Tensor) -> None:
        for index in tf.range(count):
            step(chosen[index])

    def epoch(order: NDArray[np.int64]) -> Figures:
        losses.assign(0.0)
        right.assign(0)
        whole = len(order) // batch_size * batch_size
        batches = order[:whole].reshape(-1, batch_size)
        for begin in range(0, len(batches), STEPS):
            some = batches[begin : begin + STEPS]
            # Always the same shape, because XLA compiles each shape anew.
            steps(tf.constant(np.resize(some, (STEPS, batch_size))), tf.constant(len(some)))
        if whole < len(order):
            steps(tf.constant(order[None, whole:]), tf.constant(1))
        return Figures(float(losses) / len(order), int(right) / len(order))

    return epoch


LOOPS: dict[str, Loop] = {"xla": xla, "graph": graph, "bfloat16": bfloat16}
