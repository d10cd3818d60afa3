"""A small convolutional network with dropout and a softmax head classifies ten patterns."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def build() -> keras.Model:
    """Return the compiled classifier of images (16, 16, 1)."""
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(32, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return noisy patterns (832, 16, 16, 1), float32, and one-hot classes (832, 10), float32."""
    generator = np.random.default_rng(1)
    patterns = generator.normal(size=(10, 16, 16, 1))
    classes = generator.integers(0, 10, 832)
    images = patterns[classes] + generator.normal(size=(832, 16, 16, 1))
    return images.astype(np.float32), np.eye(10, dtype=np.float32)[classes]
