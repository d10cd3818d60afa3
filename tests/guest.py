"""Guests, models that the package does not know: `train --architecture tests.guest:GUEST`.

`GUEST` is a regression with two inputs, a skip and state; `CLASSIFIER` has three classes.
"""

from typing import TYPE_CHECKING

import numpy as np

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras

TRAINING, TESTING = 1000, 200


def load(config: TrainConfig) -> Dataset:
    """Return random points (N, 6) and kinds (N,), and a smooth function of both (N, 1)."""

    def draw(count: int, seed: int) -> Examples:
        generator = np.random.default_rng(seed)
        points = generator.normal(size=(count, 6)).astype(np.float32)
        kinds = generator.integers(0, 4, count).astype(np.int32)
        values = np.sin(points[:, :1]) * points[:, 1:2] + kinds[:, np.newaxis] / 2
        return Examples({"points": points, "kinds": kinds}, values.astype(np.float32))

    return Dataset(draw(TRAINING, 0), draw(TESTING, 1))


def build(config: TrainConfig, dataset: Dataset) -> "keras.Model":
    """Return the model, with weights from its own initializers."""
    import keras

    layers = keras.layers
    points, kinds = keras.Input((6,), name="points"), keras.Input((), dtype="int32", name="kinds")
    embedded = layers.Embedding(4, 16)(kinds)
    first = layers.Dense(16, activation="tanh", kernel_initializer="he_normal")(points)
    normal = layers.BatchNormalization()(first)
    second = layers.Dropout(0.1, seed=config.seed)(layers.Dense(16, activation="relu")(normal))
    together = layers.Add()([first, second, embedded])
    return keras.Model({"points": points, "kinds": kinds}, layers.Dense(1)(together))


GUEST = Task(
    name="guest",
    load=load,
    build=build,
    loss=lambda config: "mean_squared_error",
    metrics=("mean_absolute_error",),
)


def load_classes(config: TrainConfig) -> Dataset:
    """Return random points (N, 5), and which of the first three numbers is largest: (N,) int64."""

    def draw(count: int, seed: int) -> Examples:
        points = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
        return Examples(points, points[:, :3].argmax(axis=1))

    return Dataset(draw(TRAINING, 0), draw(TESTING, 1))


def build_classifier(config: TrainConfig, dataset: Dataset) -> "keras.Model":
    """Return a model that gives three logits."""
    import keras

    hidden = keras.layers.Dense(16, activation="relu")
    return keras.Sequential([keras.Input((5,)), hidden, keras.layers.Dense(3)])


def cross_entropy(config: TrainConfig) -> "keras.losses.Loss":
    """Return the loss on labels."""
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


CLASSIFIER = Task(
    name="classifier",
    load=load_classes,
    build=build_classifier,
    loss=cross_entropy,
    metrics=("accuracy",),
    classifies=True,
)
