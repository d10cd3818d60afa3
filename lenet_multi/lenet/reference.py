"""The LeNet in NumPy float64: an oracle that belongs to no backend.

Weights are a list of eight arrays in the model's order: kernel and bias of conv1, conv2,
dense1 and dense2. Images are (N, height, width, channels), labels (N,) integers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.integer]
Backward = Callable[[Array], tuple[Array, ...]]


def shapes(image_shape: tuple[int, ...], classes: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the weights for images of (height, width, channels)."""
    height, width, channels = image_shape
    for _ in range(2):  # a 5x5 convolution takes 4 pixels off, pooling halves what is left
        height, width = (height - 4) // 2, (width - 4) // 2
    return {
        "conv1/kernel": (5, 5, channels, 20),
        "conv1/bias": (20,),
        "conv2/kernel": (5, 5, 20, 50),
        "conv2/bias": (50,),
        "dense1/kernel": (height * width * 50, 500),
        "dense1/bias": (500,),
        "dense2/kernel": (500, classes),
        "dense2/bias": (classes,),
    }


def forward(weights: Sequence[Array], images: Array) -> Array:
    """Return the logits (N, classes)."""
    return _forward(weights, images)[0]


def loss(weights: Sequence[Array], images: Array, labels: Integers) -> float:
    """Return the mean cross-entropy in nats."""
    return _cross_entropy(forward(weights, images), labels)[0]


def gradients(
    weights: Sequence[Array], images: Array, labels: Integers
) -> tuple[float, list[Array]]:
    """Return the loss and its gradient with respect to each weight tensor."""
    logits, tape = _forward(weights, images)
    value, passed_back = _cross_entropy(logits, labels)
    found: list[Array] = []
    for backward in reversed(tape):
        passed_back, *of_weights = backward(passed_back)
        found = [*of_weights, *found]
    return value, found


def _forward(weights: Sequence[Array], images: Array) -> tuple[Array, list[Backward]]:
    kernel1, bias1, kernel2, bias2, kernel3, bias3, kernel4, bias4 = weights
    tape: list[Backward] = []

    def apply(layer: tuple[Array, Backward]) -> Array:
        tape.append(layer[1])
        return layer[0]

    x = images.astype(np.float64)
    x = apply(_relu(apply(_conv(x, kernel1, bias1))))
    x = apply(_max_pool(x))
    x = apply(_relu(apply(_conv(x, kernel2, bias2))))
    x = apply(_max_pool(x))
    x = apply(_flatten(x))
    x = apply(_relu(apply(_dense(x, kernel3, bias3))))
    return apply(_dense(x, kernel4, bias4)), tape


def _conv(x: Array, kernel: Array, bias: Array) -> tuple[Array, Backward]:
    height, width = kernel.shape[:2]
    patches = sliding_window_view(x, (height, width), axis=(1, 2))  # (N, H', W', C, h, w)
    y = np.tensordot(patches, kernel, axes=([4, 5, 3], [0, 1, 2])) + bias

    def backward(dy: Array) -> tuple[Array, ...]:
        dkernel = np.tensordot(patches, dy, axes=([0, 1, 2], [0, 1, 2]))  # (C, h, w, O)
        padding = ((0, 0), (height - 1, height - 1), (width - 1, width - 1), (0, 0))
        turned = kernel[::-1, ::-1].swapaxes(2, 3)  # (h, w, O, C)
        around = sliding_window_view(np.pad(dy, padding), (height, width), axis=(1, 2))
        dx = np.tensordot(around, turned, axes=([4, 5, 3], [0, 1, 2]))
        return dx, dkernel.transpose(1, 2, 0, 3), dy.sum(axis=(0, 1, 2))

    return y, backward


def _max_pool(x: Array) -> tuple[Array, Backward]:
    count, height, width, channels = x.shape
    cut = x[:, : height // 2 * 2, : width // 2 * 2]
    windows = cut.reshape(count, height // 2, 2, width // 2, 2, channels)
    windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(
        count, height // 2, width // 2, channels, 4
    )
    first = windows.argmax(axis=-1)[..., np.newaxis]  # a tie's gradient goes to the first

    def backward(dy: Array) -> tuple[Array, ...]:
        spread = np.zeros_like(windows)
        np.put_along_axis(spread, first, dy[..., np.newaxis], axis=-1)
        spread = spread.reshape(count, height // 2, width // 2, channels, 2, 2)
        dx = np.zeros_like(x)
        dx[:, : height // 2 * 2, : width // 2 * 2] = spread.transpose(0, 1, 4, 2, 5, 3).reshape(
            cut.shape
        )
        return (dx,)

    return windows.max(axis=-1), backward


def _relu(x: Array) -> tuple[Array, Backward]:
    return np.maximum(x, 0), lambda dy: (dy * (x > 0),)


def _flatten(x: Array) -> tuple[Array, Backward]:
    return x.reshape(len(x), -1), lambda dy: (dy.reshape(x.shape),)


def _dense(x: Array, kernel: Array, bias: Array) -> tuple[Array, Backward]:
    return x @ kernel + bias, lambda dy: (dy @ kernel.T, x.T @ dy, dy.sum(axis=0))


def _cross_entropy(logits: Array, labels: Integers) -> tuple[float, Array]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    value = float(np.mean(np.log(sums[:, 0]) - shifted[rows, labels]))
    gradient = exponentials / sums
    gradient[rows, labels] -= 1
    return value, gradient / len(labels)


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
