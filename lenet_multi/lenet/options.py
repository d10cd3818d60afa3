"""The LeNet's options as models to climb the ladder with, each a function without arguments.

For example: `lenet-multi parity lenet_multi.lenet.options:batch_norm --data
lenet_multi.lenet.options:digits`.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.lenet import image_sets, networks
from lenet_multi.lenet.pixels import scaled

IMAGES = 3200  # a climb with all its twins sees fewer


def batch_norm() -> keras.Model:
    """Return the LeNet with batch normalisation before each ReLU."""
    return _compiled(batch_norm=True)


def dropout() -> keras.Model:
    """Return the LeNet with dropout of the 500 units."""
    return _compiled(dropout=0.4)


def inception() -> keras.Model:
    """Return the LeNet with an inception block in the place of its second convolution."""
    return _compiled(inception=True)


def digits() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return training images (N, 28, 28, 1) float32, from 0 to 1, and labels (N,)."""
    train = image_sets.load().train[:IMAGES]
    return scaled(np.asarray(train.x)), np.asarray(train.y)


def _compiled(**options: Any) -> keras.Model:
    model = networks.lenet(**options)
    networks.draw(model, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model
