"""The arithmetic limit of the machine: the best matrix-product rate that this backend reaches."""

import functools
import time
from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record
from lenet_multi.machine import keras_start
from lenet_multi.machine.keras_start import CPU, GPU

SIDE = {CPU: 2048, GPU: 8192}
REPEATS = 5
SLOW = 1.0  # GFLOP/s; at this rate, the launch of a small product costs less than the product


@functools.cache
def _matrix(side: int) -> NDArray[np.float32]:
    # The numbers are random, because a GPU multiplies faster if few bits change.
    return np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)


def measure(backend: str, *, precision: str) -> Record:
    """Return GFLOP/s of products of two square matrices: the best of a few per sample.

    If a small product is slow, its rate stands for the large one, which would take minutes. PyTorch
    multiplies bfloat16 numbers at 0.3 GFLOP/s on a processor without instructions for them.
    """
    large = SIDE[keras_start.device()]
    for side in (large // 8, large):
        rate = 2 * side**3 / min(_seconds(backend, side, precision)) / 1e9
        if rate < SLOW:
            break
    return Record("matrix product", backend, precision, "GFLOP/s", [rate], {"side": side})


def _seconds(backend: str, side: int, precision: str) -> Iterator[float]:
    matrix = keras.ops.cast(_matrix(side), precision)
    product = keras.ops.matmul
    if backend == "jax":
        import jax

        product = jax.jit(product)
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        float(product(matrix, matrix)[0, 0])
        yield time.perf_counter() - began
