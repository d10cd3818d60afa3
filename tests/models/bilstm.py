"""A bidirectional LSTM with a sigmoid head says whether most tokens are high."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def build() -> keras.Model:
    """Return the compiled classifier of tokens (20,); it gives a probability."""
    model = keras.Sequential(
        [
            keras.Input((20,), dtype="int32"),
            layers.Embedding(50, 16),
            layers.Bidirectional(layers.LSTM(16)),
            layers.Dense(16, activation="tanh"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return tokens (832, 20), int32, and whether most are 25 or more (832, 1), float32."""
    generator = np.random.default_rng(7)
    tokens = generator.integers(0, 50, (832, 20))
    high = (tokens >= 25).sum(axis=1, keepdims=True) > 10
    return tokens.astype(np.int32), high.astype(np.float32)
