"""The networks, defined once for every backend."""

from typing import Any

import keras
from keras import layers

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError, by
from lenet_multi.lenet.initial_weights import draw_initial_weights

_ACTIVATIONS = {"logits": None, "softmax": "softmax"}
_SMALLEST = 16  # pixels: two 5x5 convolutions and two 2x2 poolings leave one


def lenet(
    input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10, *, head: str = "logits"
) -> keras.Sequential:
    """Return the notebook's LeNet: (N, height, width, channels) float32 to (N, classes) float32.

    For 28x28x1 images and 10 classes it has 431,080 parameters, all zero. `head` is "logits" or
    "softmax". Raises `UserError` when the images are too small.
    """
    if min(input_shape[:2]) < _SMALLEST:
        raise UserError(
            f"images of {by(input_shape[:2])} pixels are too small for the LeNet; "
            f"give {_SMALLEST}x{_SMALLEST} or larger"
        )
    return _undrawn(
        "lenet",
        keras.Input(input_shape),
        layers.Conv2D(20, 5, activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(50, 5, activation="relu", name="conv2"),
        layers.MaxPooling2D(2, name="pool2"),
        layers.Flatten(name="flatten"),
        layers.Dense(500, activation="relu", name="dense1"),
        layers.Dense(classes, activation=_ACTIVATIONS[head], name="dense2"),
    )


def softmax_regression(
    input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10, *, head: str = "logits"
) -> keras.Sequential:
    """Return one dense layer on the pixels: 7,850 parameters for 28x28x1 images and 10 classes."""
    return _undrawn(
        "softmax_regression",
        keras.Input(input_shape),
        layers.Flatten(name="flatten"),
        layers.Dense(classes, activation=_ACTIVATIONS[head], name="dense"),
    )


def _undrawn(name: str, *stack: Any) -> keras.Sequential:
    """Return a stack with zero kernels; its configuration still names Keras's initializers.

    The caller sets the weights next. To draw them, JAX would compile a random generator for each
    shape, which takes longer than everything else.
    """
    drawn = [layer for layer in stack if hasattr(layer, "kernel_initializer")]
    initializers = [layer.kernel_initializer for layer in drawn]
    for layer in drawn:
        layer.kernel_initializer = keras.initializers.Zeros()
    model = keras.Sequential(stack, name=name)
    for layer, initializer in zip(drawn, initializers, strict=True):
        layer.kernel_initializer = initializer
    return model


NETWORKS = {"lenet": lenet, "softmax-regression": softmax_regression}


def build(config: TrainConfig, dataset: Dataset) -> keras.Sequential:
    """Return the network of `config` for `dataset`, with the initial weights of its seed."""
    network = NETWORKS[config.architecture]
    model = network(dataset.train.x.shape[1:], config.classes, head=config.head)
    shapes = [weight.shape for weight in model.weights]
    model.set_weights(draw_initial_weights(shapes, seed=config.seed))
    return model
