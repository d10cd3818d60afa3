"""A Transformer decoder with a causal mask and padding predicts the next token."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

LENGTH, TOKENS, WIDTH = 20, 24, 32


@keras.saving.register_keras_serializable(package="transformer_masked")
class TokensAndPositions(layers.Layer):  # type: ignore[misc]  # Keras carries no types
    """Embed tokens (batch, length) and their positions; token 0 is padding and is masked.

    `length`, `tokens` and `width` are the longest sequence, the vocabulary and the vectors' size.
    """

    def __init__(self, length: int, tokens: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.sizes = {"length": length, "tokens": tokens, "width": width}
        self.tokens = layers.Embedding(tokens, width, mask_zero=True)
        self.positions = layers.Embedding(length, width)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the vectors."""
        self.tokens.build(shape)
        self.positions.build(shape[1:])

    def call(self, tokens: Any) -> Any:
        """Return the vectors (batch, length, width)."""
        return self.tokens(tokens) + self.positions(keras.ops.arange(tokens.shape[1]))

    def compute_mask(self, tokens: Any, previous: Any = None) -> Any:
        """Return True for each token that is no padding."""
        return self.tokens.compute_mask(tokens)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer."""
        return {**super().get_config(), **self.sizes}


def build() -> keras.Model:
    """Return the compiled language model of tokens (20,); it gives logits at each position."""
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = TokensAndPositions(LENGTH, TOKENS, WIDTH)(tokens)
    for _ in range(2):
        y = layers.MultiHeadAttention(num_heads=2, key_dim=16)(x, x, use_causal_mask=True)
        x = layers.LayerNormalization()(layers.Add()([x, y]))
        y = layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, activation="gelu")(x))
        x = layers.LayerNormalization()(layers.Add()([x, y]))
    model = keras.Model(tokens, layers.Dense(TOKENS)(x))
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def data() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return sentences (832, 20) of 8 to 20 tokens, padded with 0, and each next token; int32."""
    generator = np.random.default_rng(6)
    likely = generator.integers(1, TOKENS, TOKENS)
    sentences = generator.integers(1, TOKENS, (832, LENGTH + 1))
    for at in range(LENGTH):
        follows = generator.random(832) < 0.7
        sentences[follows, at + 1] = likely[sentences[follows, at]]
    ends = generator.integers(8, LENGTH + 1, (832, 1))
    kept = np.arange(LENGTH) < ends
    x, y = sentences[:, :-1] * kept, sentences[:, 1:] * kept
    return x.astype(np.int32), y.astype(np.int32)
