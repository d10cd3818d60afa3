"""A multilayer perceptron with batch normalization classifies five clusters."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def build() -> keras.Model:
    """Return the compiled classifier of tables (20,); it gives logits of five classes."""
    model = keras.Sequential([keras.Input((20,))])
    for units in (64, 32):
        model.add(layers.Dense(units))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
    model.add(layers.Dense(5))
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return points (832, 20), float32, of columns of unlike scale, and classes (832,), int32."""
    generator = np.random.default_rng(2)
    centers = generator.normal(size=(5, 20))
    classes = generator.integers(0, 5, 832)
    points = centers[classes] + generator.normal(size=(832, 20))
    scaled = 1 + points * np.linspace(0.5, 3, 20)
    return scaled.astype(np.float32), classes.astype(np.int32)
