"""The machine's arithmetic limit: the best rate of a matrix product that this backend reaches."""

import functools
import time

import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record
from lenet_multi import session
from lenet_multi.speed import CPU, GPU

SIDE = {CPU: 2048, GPU: 8192}
REPEATS = 5


@functools.cache
def _matrix(side: int) -> NDArray[np.float32]:
    # Of random numbers, for a GPU multiplies faster where few bits change.
    return np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)


def measure(backend: str, *, precision: str) -> Record:
    """Return GFLOP/s of products of two square matrices, the best of a few in each sample."""
    side = SIDE[session.device()]
    matrix = keras.ops.cast(_matrix(side), precision)
    product = keras.ops.matmul
    if backend == "jax":
        import jax

        product = jax.jit(product)
    seconds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        float(product(matrix, matrix)[0, 0])
        seconds.append(time.perf_counter() - began)
    rate = 2 * side**3 / min(seconds) / 1e9
    return Record("matrix product", backend, precision, "GFLOP/s", [rate], {"side": side})
