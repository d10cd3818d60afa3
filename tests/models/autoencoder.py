"""A convolutional autoencoder removes the noise of an image."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def build() -> keras.Model:
    """Return the compiled autoencoder of images (16, 16, 1)."""
    encoder = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(16, activation="selu", kernel_initializer="lecun_normal"),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(4 * 4 * 16, activation="relu"),
            layers.Reshape((4, 4, 16)),
            layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid"),
        ],
        name="decoder",
    )
    images = keras.Input((16, 16, 1))
    model = keras.Model(images, decoder(encoder(images)))
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss="mse",
        metrics=["mae"],
    )
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return noisy spots and the same spots without noise, both (832, 16, 16, 1), float32."""
    generator = np.random.default_rng(10)
    rows, columns = np.mgrid[:16, :16]
    at = generator.uniform(3, 13, (2, 832, 1, 1))
    widths = generator.uniform(10, 40, (832, 1, 1))
    clean = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / widths)[..., np.newaxis]
    noisy = clean + generator.normal(size=clean.shape) / 10
    return noisy.astype(np.float32), clean.astype(np.float32)
