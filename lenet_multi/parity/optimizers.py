"""Keras's optimizers in NumPy float64, for the oracle."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class SGD:
    """Keras's SGD (keras/src/optimizers/sgd.py): v = momentum v - rate g, w += v."""

    learning_rate: float
    momentum: float = 0.0
    velocities: list[Array] = field(default_factory=list)

    def step(self, weights: Iterable[Array], gradients: Sequence[Array]) -> list[Array]:
        """Return the weights after one step."""
        self.velocities = self.velocities or [np.zeros_like(g) for g in gradients]
        self.velocities = [
            self.momentum * v - self.learning_rate * g
            for v, g in zip(self.velocities, gradients, strict=True)
        ]
        return [w + v for w, v in zip(weights, self.velocities, strict=True)]


@dataclass
class Adam:
    """Keras's Adam (keras/src/optimizers/adam.py), epsilon outside the bias correction.

    Kingma and Ba (2015), section 2, last paragraph ("epsilon hat").
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    steps: int = 0
    means: list[Array] = field(default_factory=list)
    squares: list[Array] = field(default_factory=list)

    def step(self, weights: Iterable[Array], gradients: Sequence[Array]) -> list[Array]:
        """Return the weights after one step."""
        self.steps += 1
        self.means = self.means or [np.zeros_like(g) for g in gradients]
        self.squares = self.squares or [np.zeros_like(g) for g in gradients]
        self.means = [
            m + (g - m) * (1 - self.beta_1) for m, g in zip(self.means, gradients, strict=True)
        ]
        self.squares = [
            v + (g * g - v) * (1 - self.beta_2)
            for v, g in zip(self.squares, gradients, strict=True)
        ]
        correction = np.sqrt(1 - self.beta_2**self.steps) / (1 - self.beta_1**self.steps)
        rate = self.learning_rate * correction
        return [
            w - rate * m / (np.sqrt(v) + self.epsilon)
            for w, m, v in zip(weights, self.means, self.squares, strict=True)
        ]
