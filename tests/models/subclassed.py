"""A subclassed model with layers of its own; Keras builds it at its first batch."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


@keras.saving.register_keras_serializable(package="subclassed")
class Gate(layers.Layer):  # type: ignore[misc]  # Keras carries no types
    """Multiply each channel by a gate between 0 and 1 that depends on all channels' means."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the gate for inputs of `shape`, whose last entry is the number of channels."""
        channels = shape[-1]
        self.kernel = self.add_weight(shape=(channels, channels), name="kernel")
        self.bias = self.add_weight(shape=(channels,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        """Return the gated images (batch, height, width, channels)."""
        means = keras.ops.mean(x, axis=(1, 2), keepdims=True)
        return x * keras.ops.sigmoid(means @ self.kernel + self.bias)


@keras.saving.register_keras_serializable(package="subclassed")
class Classifier(keras.Model):  # type: ignore[misc]  # Keras carries no types
    """Classify images (height, width, channels) into `classes`; it gives logits."""

    def __init__(self, classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.classes = classes
        self.first = layers.Conv2D(12, 3, padding="same")
        self.prelu = layers.PReLU(shared_axes=[1, 2])
        self.gate = Gate()
        self.pool = layers.AveragePooling2D(3, strides=2, padding="same")
        self.second = layers.Conv2D(16, 3, activation="elu")
        self.flatten = layers.Flatten()
        self.normalize = layers.LayerNormalization()
        self.head = layers.Dense(classes)

    def call(self, images: Any) -> Any:
        """Return the logits (batch, classes)."""
        x = self.pool(self.gate(self.prelu(self.first(images))))
        return self.head(self.normalize(self.flatten(self.second(x))))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same model."""
        return {**super().get_config(), "classes": self.classes}


def build() -> keras.Model:
    """Return the compiled classifier; it has no weights before its first batch."""
    model = Classifier(classes=6)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return noisy patterns (832, 12, 12, 2), float32, and classes (832,), int32, of six."""
    generator = np.random.default_rng(12)
    patterns = generator.normal(size=(6, 12, 12, 2))
    classes = generator.integers(0, 6, 832)
    images = patterns[classes] + generator.normal(size=(832, 12, 12, 2))
    return images.astype(np.float32), classes.astype(np.int32)
