"""A recommender with two inputs and two outputs predicts a rating and a click."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

USERS = 40


def build() -> keras.Model:
    """Return the compiled model of a user's number and an item's features (8,)."""
    inputs = {
        "user": keras.Input((), dtype="int32", name="user"),
        "item": keras.Input((8,), name="item"),
    }
    user = layers.Embedding(USERS, 8)(inputs["user"])
    item = layers.Dense(8, activation="relu")(inputs["item"])
    both = layers.Concatenate()([user, item, layers.Multiply()([user, item])])
    shared = layers.Dense(32, activation="relu")(both)
    outputs = {
        "rating": layers.Dense(1, name="rating")(shared),
        "clicks": layers.Dense(1, name="clicks")(shared),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(5e-3),
        loss={"rating": "mse", "clicks": keras.losses.BinaryCrossentropy(from_logits=True)},
        loss_weights={"rating": 1.0, "clicks": 0.5},
        metrics={"rating": ["mae"], "clicks": [keras.metrics.BinaryAccuracy(threshold=0.0)]},
    )
    return model


def data() -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.float32]]]:
    """Return users (832,), int32, and items (832, 8); ratings and clicks (832, 1); float32."""
    generator = np.random.default_rng(13)
    mild, tastes = generator.normal(size=(USERS, 1)), generator.normal(size=(USERS, 8))
    user = generator.integers(0, USERS, 832)
    item = generator.normal(size=(832, 8))
    rating = mild[user] + item[:, :1] + (tastes[user] * item).sum(axis=1, keepdims=True) / 5
    x = {"user": user.astype(np.int32), "item": item.astype(np.float32)}
    clicks = rating + generator.normal(size=(832, 1)) / 2 > 0
    return x, {"rating": rating.astype(np.float32), "clicks": clicks.astype(np.float32)}
