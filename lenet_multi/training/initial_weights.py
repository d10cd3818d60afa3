"""The weights that models start from, drawn by NumPy so that backends share the bits."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw_initial_weights(
    shapes: Sequence[tuple[int, ...]], *, seed: int
) -> list[NDArray[np.float32]]:
    """Return Keras's default initial weights for tensors of `shapes`.

    Kernels are Glorot uniform, U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot and
    Bengio, 2010, equation 16); tensors of one axis are biases, and zero.
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


@contextmanager
def nothing_drawn(told: Callable[[int], None] = lambda size: None) -> Iterator[None]:
    """Let Keras's initializers give zeros: weights about to be replaced need not be drawn.

    JAX would compile a random generator for each shape, which takes longer than all else. `told`
    hears each tensor's bytes before it is made, and may raise.
    """
    import keras

    def zeros(self: Any, shape: Any, dtype: Any = None, **_: Any) -> Any:
        told(math.prod(shape) * np.dtype(dtype).itemsize)
        # The type is named, or else JAX compiles a function that hands the array over.
        return keras.ops.convert_to_tensor(np.zeros(shape, dtype), dtype)

    kinds = [kind for kind in _below(keras.initializers.Initializer) if "__call__" in vars(kind)]
    calls = [(kind, kind.__call__) for kind in kinds]
    try:
        for kind in kinds:
            kind.__call__ = zeros
        yield
    finally:
        for kind, call in calls:
            kind.__call__ = call


def _below(kind: Any) -> Iterator[Any]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _below(subclass)
