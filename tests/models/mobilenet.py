"""A small network like MobileNet, with depthwise convolutions, finds a bright spot."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def inverted(x: Any, filters: int, strides: int = 1) -> Any:
    """Return the output of an inverted bottleneck, with a skip if the shape stays."""
    channels = x.shape[-1]
    y = layers.Conv2D(2 * channels, 1, use_bias=False)(x)
    y = layers.BatchNormalization(momentum=0.9)(y)
    y = layers.Activation("silu")(y)
    y = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(y)
    y = layers.BatchNormalization(momentum=0.9)(y)
    y = layers.Activation("silu")(y)
    y = layers.Conv2D(filters, 1, use_bias=False)(y)
    y = layers.BatchNormalization(momentum=0.9)(y)
    return layers.Add()([x, y]) if strides == 1 and channels == filters else y


def build() -> keras.Model:
    """Return the compiled classifier of images (16, 16, 3); it gives logits of four classes."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="silu")(images)
    x = inverted(x, 16, strides=2)
    x = inverted(x, 16)
    x = layers.SeparableConv2D(32, 3, padding="same", activation="silu")(x)
    x = layers.Flatten()(x)
    model = keras.Model(images, layers.Dense(4)(x))
    model.compile(
        optimizer=keras.optimizers.RMSprop(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return images (832, 16, 16, 3), float32, and the spot's quarter (832,), int32, of four."""
    generator = np.random.default_rng(4)
    rows, columns = np.mgrid[:16, :16]
    at = generator.uniform(1, 15, (2, 832, 1, 1))
    spots = 3 * np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / 4)
    images = spots[..., np.newaxis] + generator.normal(size=(832, 16, 16, 3)) / 2
    quarters = 2 * (at[0] > 7.5) + (at[1] > 7.5)
    return images.astype(np.float32), quarters.reshape(832).astype(np.int32)
