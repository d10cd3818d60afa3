"""Two masked GRU layers count the high tokens of padded sequences."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def build() -> keras.Model:
    """Return the compiled regression of tokens (20,), of which 0 is padding."""
    model = keras.Sequential(
        [
            keras.Input((20,), dtype="int32"),
            layers.Embedding(40, 16, mask_zero=True),
            layers.GRU(24, return_sequences=True),
            layers.GRU(16),
            layers.Dense(1),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss="mse",
        metrics=["mae"],
    )
    return model


def data() -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return 5 to 20 tokens, padded with 0 (832, 20), int32, and a count (832, 1), float32."""
    generator = np.random.default_rng(8)
    lengths = generator.integers(5, 21, (832, 1))
    tokens = generator.integers(1, 40, (832, 20)) * (np.arange(20) < lengths)
    high = (tokens >= 20).sum(axis=1, keepdims=True) / 5
    return tokens.astype(np.int32), high.astype(np.float32)
