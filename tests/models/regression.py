"""A regression on a table with LeakyReLU, an L2 penalty and a loss that forgives outliers."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def build() -> keras.Model:
    """Return the compiled regression of tables (8,)."""
    model = keras.Sequential([keras.Input((8,))])
    for units in (64, 32):
        model.add(layers.Dense(units, kernel_regularizer=keras.regularizers.L2(1e-4)))
        model.add(layers.LeakyReLU(negative_slope=0.1))
    model.add(layers.Dense(1))
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.Huber(delta=1.0),
        metrics=["mae", "mse"],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return tables (832, 8) and a smooth function of them with outliers (832, 1), float32."""
    generator = np.random.default_rng(11)
    x = generator.normal(size=(832, 8))
    y = 2 * x[:, :1] - x[:, 1:2] * x[:, 2:3] + np.sin(2 * x[:, 3:4])
    y += 5 * (generator.random((832, 1)) < 0.05)
    return x.astype(np.float32), y.astype(np.float32)
