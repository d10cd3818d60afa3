"""What we measure ourselves against: stock Keras, and each framework's loop written by hand.

The loops train the same network on the same images in the same batches with the same Adam, and
count what stock `fit` shows of an epoch. Each module says which forms were tried; the fastest is
the bar.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.training.initial_weights import draw_initial_weights


class Figures(NamedTuple):
    """Mean loss in nats and share answered rightly of an epoch, each image as it was trained on."""

    loss: float
    accuracy: float


Epoch = Callable[[NDArray[np.int64]], Figures]
"""Train on the images in the given order; return its figures, when they are really there."""

SHAPES = [(5, 5, 1, 20), (20,), (5, 5, 20, 50), (50,), (800, 500), (500,), (500, 10), (10,)]

RATE, BETA_1, BETA_2 = TrainConfig.learning_rate, TrainConfig.beta_1, TrainConfig.beta_2
EPSILON = 1e-7  # Keras's


def initial_weights() -> list[NDArray[np.float32]]:
    """Return the weights that our own model starts from, in its layout."""
    return draw_initial_weights(SHAPES, seed=TrainConfig.seed)
