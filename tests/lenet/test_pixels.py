from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lenet_multi.lenet.pixels import scaled

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


@pytest.mark.parametrize("how", ["by itself", "as a graph", "by XLA"])
def test_tensors_are_scaled_to_the_bits_of_numpy(backend: str, how: str) -> None:
    """Each byte is scaled to NumPy's quotient to the bit, also in compiled code.

    XLA would multiply by a reciprocal instead of dividing.
    """
    import keras

    pixels = np.resize(np.arange(256, dtype=np.uint8), (1, 16, 16, 1))  # all 256 values
    compute = compiled(backend, scaled, how)
    found = keras.ops.convert_to_numpy(compute(keras.ops.convert_to_tensor(pixels)))
    np.testing.assert_array_equal(found, scaled(pixels))
    np.testing.assert_array_equal(found, pixels / np.float32(255))
    assert found.dtype == np.float32


def compiled(backend: str, function: Callable[..., Any], how: str) -> Callable[..., Any]:
    """Return `function` as training on the backend computes it, or unchanged."""
    match backend, how:
        case "jax", "by XLA":
            import jax

            return jax.jit(function)  # type: ignore[no-any-return]
        case "tensorflow", "as a graph" | "by XLA":
            import tensorflow as tf

            return tf.function(function, jit_compile=how == "by XLA")  # type: ignore[no-any-return]
        case _:
            return function


def test_a_precision_may_be_asked_for() -> None:
    """Pixels are scaled in the requested precision, or else in Keras's floatx, as NumPy does."""
    import keras

    pixels = np.arange(256, dtype=np.uint8)
    in_full = scaled(pixels, "float64")
    assert in_full.dtype == np.float64
    np.testing.assert_array_equal(in_full, pixels / 255)
    keras.config.set_floatx("float16")
    try:
        assert scaled(pixels).dtype == np.float16
    finally:
        keras.config.set_floatx("float32")
