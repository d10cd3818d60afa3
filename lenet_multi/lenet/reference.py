"""The oracle: the networks in NumPy float64, independent of every backend.

Images are (N, height, width, channels), labels (N,) integers. Weights are in the model's order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.initial_weights import draw_initial_weights

Array = NDArray[np.float64]
Integers = NDArray[np.integer]
Backward = Callable[[Array], tuple[Array, ...]]
Layer = Callable[..., tuple[Array, Backward]]
"""From an input and weights to the output, and the function that passes a gradient back to both."""


@dataclass(frozen=True)
class Stack:
    """Layers, each with its number of weight tensors, and the shapes of all weights by name."""

    layers: Sequence[tuple[Layer, int]]
    shapes: dict[str, tuple[int, ...]]

    @property
    def names(self) -> list[str]:
        """The names of the weights, such as "conv1/kernel"."""
        return list(self.shapes)

    def initial_weights(self, seed: int) -> list[Array]:
        """Return the model's initial weights."""
        drawn = draw_initial_weights(list(self.shapes.values()), seed=seed)
        return [weight.astype(np.float64) for weight in drawn]

    def forward(self, weights: Sequence[Array], x: Array) -> Array:
        """Return the logits (N, classes)."""
        return self._forward(weights, x)[0]

    def gradients(
        self, weights: Sequence[Array], x: Array, y: Integers
    ) -> tuple[float, list[Array]]:
        """Return the mean cross-entropy in nats and its gradient for each weight tensor."""
        logits, tape = self._forward(weights, x)
        value, passed_back = _cross_entropy(logits, y)
        found: list[Array] = []
        for backward in reversed(tape):
            passed_back, *of_weights = backward(passed_back)
            found = [*of_weights, *found]
        return value, found

    def _forward(self, weights: Sequence[Array], x: Array) -> tuple[Array, list[Backward]]:
        tape: list[Backward] = []
        x, left = x.astype(np.float64), list(weights)
        for layer, tensors in self.layers:
            x, backward = layer(x, *left[:tensors])
            left = left[tensors:]
            tape.append(backward)
        return x, tape


def lenet(config: TrainConfig, dataset: Dataset) -> Stack:
    """Return the LeNet for the images of `dataset`."""
    height, width, channels = dataset.train.x.shape[1:]
    for _ in range(2):  # a 5x5 convolution removes 4 pixels, pooling halves the rest
        height, width = (height - 4) // 2, (width - 4) // 2
    return Stack(
        LENET,
        {
            "conv1/kernel": (5, 5, channels, 20),
            "conv1/bias": (20,),
            "conv2/kernel": (5, 5, 20, 50),
            "conv2/bias": (50,),
            "dense1/kernel": (height * width * 50, 500),
            "dense1/bias": (500,),
            "dense2/kernel": (500, config.classes),
            "dense2/bias": (config.classes,),
        },
    )


def softmax_regression(config: TrainConfig, dataset: Dataset) -> Stack:
    """Return softmax regression for the images of `dataset`."""
    pixels = int(np.prod(dataset.train.x.shape[1:]))
    shapes = {"dense/kernel": (pixels, config.classes), "dense/bias": (config.classes,)}
    return Stack(SOFTMAX_REGRESSION, shapes)


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
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    # The four pixels of all 2x2 windows, by corner: each (N, H', W', C).
    corners = [np.s_[:, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]
    pixels = np.stack([x[corner] for corner in corners])
    first = pixels.argmax(axis=0)  # a tie's gradient goes to the first

    def backward(dy: Array) -> tuple[Array, ...]:
        dx = np.zeros_like(x)
        for place, corner in enumerate(corners):
            dx[corner] = np.where(first == place, dy, 0)
        return (dx,)

    return pixels.max(axis=0), backward


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


LENET = (
    *((_conv, 2), (_relu, 0), (_max_pool, 0), (_conv, 2), (_relu, 0), (_max_pool, 0)),
    *((_flatten, 0), (_dense, 2), (_relu, 0), (_dense, 2)),
)
SOFTMAX_REGRESSION = ((_flatten, 0), (_dense, 2))
