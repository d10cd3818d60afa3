"""Stock Keras: the notebook's code, written in Keras 3, with nothing of ours."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def notebook_model() -> keras.Sequential:
    """Return the notebook's model, compiled as in the notebook."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(20, (5, 5), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2), strides=(2, 2)),
            layers.Conv2D(50, (5, 5), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2), strides=(2, 2)),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(), metrics=["accuracy"]
    )
    return model


def compile_logits(model: keras.Model) -> None:
    """Compile a model whose outputs are logits, as a user of plain Keras would."""
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.Adam(),
        metrics=["accuracy"],
    )


def notebook_arrays(
    images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return images (N, 28, 28, 1) float32 in [0, 1] and one-hot labels, as the notebook does.

    The labels have the shape (N, 10).
    """
    scaled = np.divide(images.astype("float32"), 255, dtype=np.float32)
    return scaled, keras.utils.to_categorical(labels, 10)
