"""JAX as its best practitioners write it: one scan over ten steps per call, data inside.

Seconds per 60,000 images on two cores: XLA's own convolutions 20.4; pooling by reshaping 11.1;
patches of every pixel and a matrix product 12.9; patches that the pooling shares 4.8; the same with
a 2x2 tile in the first layer 4.1. Winograd's second layer takes three quarters of that time, and
the batch last in memory takes four fifths of the rest. XLA's products of bfloat16 numbers are
slower than those of float32. In all variants, malloc keeps freed memory (`malloc`).
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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

Array = Any
Network = Callable[[list[Array], Array], Array]

STEPS = 10  # in one call


def convolution_network(weights: list[Array], images: Array) -> Array:
    """Return logits (N, 10) through XLA's convolution and reduce_window."""
    for kernel, bias in (weights[0:2], weights[2:4]):
        images = jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        images = jax.lax.reduce_window(
            images, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        )
        images = jax.nn.relu(images + bias)
    return _head(weights, images)


def winograd_network(weights: list[Array], images: Array) -> Array:
    """Return logits (N, 10) by matrix products, as `backends.forms.tiles` and `winograd` do."""
    first = _first_layer(weights, images)  # (rows of two 2, 20, 6, columns 12, N)
    columns = first.transpose(3, 0, 1, 2, 4).reshape(12, -1)
    sums = (OF_IMAGES @ columns).reshape(8, 2, 40, 6, -1).transpose(0, 2, 3, 1, 4)
    patches = jnp.stack([sums[:, :, i : i + 4] for i in range(3)], 1).reshape(8, 120, -1)
    taps = (OF_TAPS @ weights[2].transpose(1, 3, 0, 2).reshape(5, -1)).reshape(8, 50, 5, 20)
    places = [jnp.pad(taps, ((0, 0), (0, 0), (i, 1 - i), (0, 0))) for i in range(2)]
    products = jnp.stack(places, 1).reshape(8, 100, 120) @ patches
    windows = (OF_PRODUCTS @ products.reshape(8, -1)).reshape(2, 2, 2, -1)
    best = _largest([windows[:, j, i] for i in range(2) for j in range(2)])
    noise = jnp.abs(best) <= ROUNDING * jnp.abs(best).max()
    best = best - jax.lax.stop_gradient(jnp.where(noise, best, 0))
    pooled = jax.nn.relu(best.reshape(2, 50, 4, 2, -1) + weights[3][:, None, None, None])
    return _head(weights, pooled.transpose(4, 2, 3, 0, 1))


def _first_layer(weights: list[Array], images: Array) -> Array:
    """Return (2, 20, 6, 12, N): the pooled rows in pairs, the batch last."""
    pixels = images[..., 0].transpose(1, 2, 0)
    views = [pixels[i : i + 21 : 4, j : j + 23 : 2] for i, j in product(range(8), range(6))]
    kernel = weights[0][:, :, 0].transpose(2, 0, 1)
    copies = [
        jnp.pad(kernel, ((0, 0), (p + row, 3 - p - row), (q, 1 - q)))
        for p, q, row in product(range(2), range(2), (0, 2))
    ]
    convolved = jnp.stack(copies).reshape(160, 48) @ jnp.stack(views).reshape(48, -1)
    best = _largest(list(convolved.reshape(4, -1))).reshape(2, 20, 6, 12, -1)
    return jax.nn.relu(best + weights[1][:, None, None, None])


def _largest(values: list[Array]) -> Array:
    best, *others = values
    for other in others:
        best = jnp.where(best >= other, best, other)
    return best


def _head(weights: list[Array], images: Array) -> Array:
    flat = images.reshape(-1, 800)
    return jax.nn.relu(flat @ weights[4] + weights[5]) @ weights[6] + weights[7]


def convolution(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch through XLA's own convolution; on a CPU, one step per call."""
    steps = 1 if jax.default_backend() == "cpu" else STEPS
    return _epoch(images, labels, batch_size, convolution_network, steps)


def winograd(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch through matrix products; the second layer takes fewer multiplications."""
    return _epoch(images, labels, batch_size, winograd_network)


def bfloat16(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch with weights and images in bfloat16; a CPU multiplies them in float32."""
    on_gpu = jax.default_backend() == "gpu"

    def rounded(array: Array) -> Array:
        array = array.astype(jnp.bfloat16)
        return array if on_gpu else array.astype(jnp.float32)

    def network(weights: list[Array], images: Array) -> Array:
        compute = convolution_network if on_gpu else winograd_network
        return compute(list(map(rounded, weights)), rounded(images)).astype(jnp.float32)

    return _epoch(images, labels, batch_size, network)


def _epoch(
    images: Bytes, labels: Bytes, batch_size: int, network: Network, steps: int = STEPS
) -> Epoch:
    keep_freed_memory()

    def loss_of(weights: list[Array], images: Array, labels: Array) -> tuple[Array, Array]:
        logs = jax.nn.log_softmax(network(weights, images))
        right = (logs.argmax(1) == labels).sum()
        return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean(), right

    def step(state: tuple[Array, ...], pixels: Array, labels: Array) -> Any:
        weights, means, squares, time, losses, right = state
        time = time + 1
        (loss, now_right), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            weights, pixels.astype(jnp.float32) / 255, labels
        )
        means = [BETA_1 * m + (1 - BETA_1) * g for m, g in zip(means, gradients, strict=True)]
        squares = [
            BETA_2 * v + (1 - BETA_2) * g * g for v, g in zip(squares, gradients, strict=True)
        ]
        rate = RATE * jnp.sqrt(1 - BETA_2**time) / (1 - BETA_1**time)
        weights = [
            w - rate * m / (jnp.sqrt(v) + EPSILON)
            for w, m, v in zip(weights, means, squares, strict=True)
        ]
        return weights, means, squares, time, losses + loss * len(labels), right + now_right

    drawn = initial_weights()

    def zeros() -> list[Array]:
        return [jnp.zeros(weight.shape) for weight in drawn]

    trained: Any = ([jnp.array(weight) for weight in drawn], zeros(), zeros(), jnp.zeros(()))

    @partial(jax.jit, donate_argnums=0)
    def some(state: Any, pixels: Array, labels: Array, chosen: Array) -> Any:
        def one(state: Any, chosen: Array) -> tuple[Any, None]:
            return step(state, pixels[chosen], labels[chosen]), None

        if len(chosen) == 1:  # inside a loop, even of one step, XLA's convolution is slower still
            return one(state, chosen[0])[0]
        return jax.lax.scan(one, state, chosen)[0]

    all_pixels, all_labels = jnp.asarray(images), jnp.asarray(labels, jnp.int32)

    def epoch(order: NDArray[np.int64]) -> Figures:
        nonlocal trained
        state = (*trained, jnp.zeros(()), jnp.zeros((), int))
        full = len(order) // (steps * batch_size) * steps * batch_size
        for part in order[:full].reshape(-1, steps, batch_size):
            state = some(state, all_pixels, all_labels, part)
        for begin in range(full, len(order), batch_size):
            chosen = order[None, begin : begin + batch_size]
            state = some(state, all_pixels, all_labels, chosen)
        *trained, losses, right = jax.block_until_ready(state)
        return Figures(float(losses) / len(order), int(right) / len(order))

    return epoch


LOOPS: dict[str, Loop] = {"winograd": winograd, "convolution": convolution, "bfloat16": bfloat16}
