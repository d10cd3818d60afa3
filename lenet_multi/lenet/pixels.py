"""Scale stored pixels to a network's input; no other module scales them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lenet_multi.data.examples import Prepare

LARGEST = 255


def scaled(pixels: Any, dtype: str | None = None) -> Any:
    """Return uint8 pixels, NumPy's or a backend's, as floats in [0, 1], to the same bits.

    `dtype` is Keras's floatx by default. XLA multiplies by a rounded reciprocal instead of dividing
    by a constant, which changes 126 of the 256 values. But 1/255 is 1/256 + 1/256/255. The first
    part is exact, because 256 is a power of two. The second is so small that its own rounding is
    lost. So the sum is rounded once, like a quotient. The two terms have no common factor that a
    compiler could hoist.
    """
    if isinstance(pixels, np.ndarray) and dtype:
        return np.divide(pixels, LARGEST, dtype=dtype)
    import keras

    dtype = dtype or keras.config.floatx()
    if isinstance(pixels, np.ndarray):
        return np.divide(pixels, LARGEST, dtype=dtype)
    most = keras.ops.cast(pixels, dtype) * (1 / (LARGEST + 1))
    return most + most * (1 / LARGEST)


def unscaled(pixels: Any, dtype: str | None = None) -> Any:
    """Return uint8 pixels as floats in [0, 255]; see `scaled`."""
    if isinstance(pixels, np.ndarray) and dtype:
        return pixels.astype(dtype)
    import keras

    dtype = dtype or keras.config.floatx()
    return pixels.astype(dtype) if isinstance(pixels, np.ndarray) else keras.ops.cast(pixels, dtype)


def centred(pixels: Any, dtype: str | None = None) -> Any:
    """Return uint8 pixels as floats in [-1, 1]; see `scaled`."""
    return scaled(pixels, dtype) * 2 - 1


RANGES: Mapping[str, Prepare] = {"0,1": scaled, "0,255": unscaled, "-1,1": centred}
