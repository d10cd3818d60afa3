"""What we compare our training with: stock Keras, and a hand-written loop in each framework.

The loops train the same network on the same images in the same batches with the same Adam, and
count the same figures per epoch as stock `fit`. Each module lists the variants we tried; the
fastest one is the standard to beat. Nothing here imports `lenet_multi`, so a fault there cannot
affect the loops.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class Figures(NamedTuple):
    """An epoch's mean loss in nats and accuracy, each image scored when it was trained on."""

    loss: float
    accuracy: float


Epoch = Callable[[NDArray[np.int64]], Figures]
"""Train on the images in the given order; return the figures once they are computed."""

Loop = Callable[[Bytes, Bytes, int], Epoch]
"""Return an epoch on images (N, 28, 28, 1) and labels (N,), with the given batch size."""

SHAPES = [(5, 5, 1, 20), (20,), (5, 5, 20, 50), (50,), (800, 500), (500,), (500, 10), (10,)]

# Keras's defaults for Adam
RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-7

SEED = 0


def initial_weights() -> list[NDArray[np.float32]]:
    """Return weights of SHAPES: kernels by Glorot and Bengio (2010), and zero biases."""
    generator = np.random.default_rng(SEED)
    return [
        _kernel(generator, shape) if len(shape) > 1 else np.zeros(shape, np.float32)
        for shape in SHAPES
    ]


def _kernel(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    *window, inputs, outputs = shape
    limit = math.sqrt(6 / (math.prod(window) * (inputs + outputs)))
    return generator.uniform(-limit, limit, shape).astype(np.float32)
