"""The machine's arithmetic limit: the best rate of a matrix product that this backend reaches."""

import time

import keras
import numpy as np

from benchmarks.record import Record

SIDE = 2048
REPEATS = 5


def measure(backend: str, *, precision: str) -> Record:
    """Return GFLOP/s of products of two SIDE x SIDE matrices, the best of a few in each sample."""
    matrix = keras.ops.cast(np.ones((SIDE, SIDE), np.float32), precision)
    product = keras.ops.matmul
    if backend == "jax":
        import jax

        product = jax.jit(product)
    seconds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        float(product(matrix, matrix)[0, 0])
        seconds.append(time.perf_counter() - began)
    rate = 2 * SIDE**3 / min(seconds) / 1e9
    return Record("matrix product", backend, precision, "GFLOP/s", [rate], {"side": SIDE})
