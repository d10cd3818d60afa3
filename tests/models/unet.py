"""A small U-Net marks the pixels of a disc."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def convolve(x: Any, filters: int) -> Any:
    """Return the output of a convolution, a group normalization and a ReLU."""
    x = layers.Conv2D(filters, 3, padding="same")(x)
    return layers.ReLU()(layers.GroupNormalization(groups=4)(x))


def build() -> keras.Model:
    """Return the compiled segmentation of images (16, 16, 1); it gives a logit for each pixel."""
    images = keras.Input((16, 16, 1))
    fine = convolve(images, 8)
    middle = convolve(layers.MaxPooling2D(2)(fine), 16)
    coarse = convolve(layers.MaxPooling2D(2)(middle), 32)
    x = layers.UpSampling2D(2, interpolation="bilinear")(coarse)
    x = convolve(layers.Concatenate()([x, middle]), 16)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = convolve(layers.Concatenate()([x, fine]), 8)
    model = keras.Model(images, layers.Conv2D(1, 1)(x))
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return noisy discs and their masks, both (832, 16, 16, 1), float32."""
    generator = np.random.default_rng(9)
    rows, columns = np.mgrid[:16, :16]
    at = generator.uniform(4, 12, (2, 832, 1, 1))
    radii = generator.uniform(2, 5, (832, 1, 1))
    masks = (rows - at[0]) ** 2 + (columns - at[1]) ** 2 < radii**2
    masks = masks[..., np.newaxis].astype(np.float32)
    images = masks + generator.normal(size=masks.shape) / 2
    return images.astype(np.float32), masks
