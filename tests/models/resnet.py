"""A small residual network finds the direction of stripes."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def residual(x: Any, filters: int, strides: int = 1) -> Any:
    """Return the output of a residual block; the skip is projected if the shape changes."""
    skip = x
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    if strides > 1:
        skip = layers.Conv2D(filters, 1, strides, use_bias=False)(skip)
        skip = layers.BatchNormalization(momentum=0.9)(skip)
    return layers.ReLU()(layers.Add()([x, skip]))


def build() -> keras.Model:
    """Return the compiled classifier of images (16, 16, 3); it gives logits of five classes."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(images)
    x = residual(x, 16)
    x = residual(x, 24, strides=2)
    x = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, layers.Dense(5)(x))
    model.compile(
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return stripes (832, 16, 16, 3), float32, and their direction (832,), int32, of five."""
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[:16, :16]
    classes = generator.integers(0, 5, 832)
    angles = classes[:, np.newaxis, np.newaxis] * np.pi / 5
    phases = generator.uniform(0, 2 * np.pi, (832, 1, 1))
    waves = np.sin(rows * np.cos(angles) + columns * np.sin(angles) + phases)
    images = waves[..., np.newaxis] + generator.normal(size=(832, 16, 16, 3)) / 2
    return images.astype(np.float32), classes.astype(np.int32)
