"""The networks' initial weights, drawn by NumPy to give every backend the same bits."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw_initial_weights(
    shapes: Sequence[tuple[int, ...]], *, seed: int
) -> list[NDArray[np.float32]]:
    """Return Keras's default initial weights for tensors of `shapes`.

    Kernels are Glorot uniform, U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio,
    2010, equation 16). Tensors of one axis are biases; they are zero.
    """
    generator = np.random.default_rng(seed)
    return [
        _glorot_uniform(generator, shape) if len(shape) > 1 else np.zeros(shape, np.float32)
        for shape in shapes
    ]


def _glorot_uniform(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    *receptive_field, fan_in, fan_out = shape  # (height, width, in, out) or (in, out)
    positions = math.prod(receptive_field)
    limit = math.sqrt(6 / (positions * (fan_in + fan_out)))
    return generator.uniform(-limit, limit, shape).astype(np.float32)
