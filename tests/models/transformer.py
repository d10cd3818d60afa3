"""A Transformer encoder without a mask names the topic of a text."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

LENGTH, TOKENS, WIDTH = 20, 30, 32


@keras.saving.register_keras_serializable(package="transformer")
class Positions(layers.Layer):  # type: ignore[misc]  # Keras carries no types
    """Add a learned vector for each position to a sequence (batch, length, width)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the vectors for inputs of `shape`."""
        self.vectors = self.add_weight(shape=shape[1:], initializer="random_normal", name="vectors")

    def call(self, x: Any) -> Any:
        """Return the sequence with its positions."""
        return x + self.vectors


def encoder(x: Any) -> Any:
    """Return the output of an encoder block that normalizes first."""
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(num_heads=2, key_dim=16)(y, y)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(2 * WIDTH, activation="gelu")(y)
    return layers.Add()([x, layers.Dense(WIDTH)(y)])


def build() -> keras.Model:
    """Return the compiled classifier of tokens (20,); it gives logits of four topics."""
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(TOKENS, WIDTH)(tokens)
    x = Positions()(x)
    for _ in range(2):
        x = encoder(x)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    model = keras.Model(tokens, layers.Dense(4)(x))
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-3, weight_decay=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return tokens (832, 20), int32, and their topic (832,), int32, of four."""
    generator = np.random.default_rng(5)
    topics = generator.integers(0, 4, 832)
    shares = generator.dirichlet(np.full(TOKENS, 0.5), 4)
    tokens = np.stack([generator.choice(TOKENS, LENGTH, p=shares[topic]) for topic in topics])
    return tokens.astype(np.int32), topics.astype(np.int32)
