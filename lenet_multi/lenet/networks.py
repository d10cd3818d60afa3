"""The networks, defined once for every backend."""

from itertools import chain
from typing import Any

import keras
from keras import layers

from lenet_multi.config import OPTIONS, TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError, by
from lenet_multi.lenet.initial_weights import draw_initial_weights

_ACTIVATIONS = {"logits": None, "softmax": "softmax"}
# Keras's 0.99 remembers a hundred batches; at the end of one epoch most of them are out of date.
_MOMENTUM = 0.95
_SMALLEST = 16  # pixels: two 5x5 convolutions and two 2x2 poolings leave one


def lenet(
    input_shape: tuple[int, ...] = (28, 28, 1),
    classes: int = 10,
    *,
    head: str = "logits",
    batch_norm: bool = False,
    dropout: float = 0.0,
    inception: bool = False,
) -> keras.Model:
    """Return the notebook's LeNet: (N, height, width, channels) float32 to (N, classes) float32.

    For 28x28x1 images and 10 classes it has 431,080 parameters, all zero. `head` is "logits" or
    "softmax". `batch_norm` normalises before each ReLU (see `folding`), `dropout` is the share of
    the 500 units that a training step leaves out, and `inception` replaces the second convolution
    by an inception block, which has its own ReLUs.

    Raises `UserError` when the images are too small.
    """
    if min(input_shape[:2]) < _SMALLEST:
        raise UserError(
            f"images of {by(input_shape[:2])} pixels are too small for the LeNet; "
            f"give {_SMALLEST}x{_SMALLEST} or larger"
        )
    second: Any = Inception() if inception else _conv(50, 2, batch_norm=batch_norm)
    return _undrawn(
        "lenet",
        keras.Input(input_shape),
        _conv(20, 1, batch_norm=batch_norm),
        layers.MaxPooling2D(2, name="pool1"),
        *_after("conv1", batch_norm=batch_norm),
        second,
        layers.MaxPooling2D(2, name="pool2"),
        *_after("conv2", batch_norm=batch_norm and not inception),
        layers.Flatten(name="flatten"),
        layers.Dense(500, name="dense1", **_own(batch_norm=batch_norm)),
        *_after("dense1", batch_norm=batch_norm),
        *([layers.Dropout(dropout, name="dropout")] if dropout else []),
        layers.Dense(classes, activation=_ACTIVATIONS[head], name="dense2"),
    )


def _own(*, batch_norm: bool) -> dict[str, Any]:
    """Return the arguments of a layer that ReLU follows: normalisation takes over its bias."""
    return {"use_bias": False} if batch_norm else {"activation": "relu"}


def _conv(filters: int, number: int, *, batch_norm: bool) -> layers.Layer:
    return layers.Conv2D(filters, 5, name=f"conv{number}", **_own(batch_norm=batch_norm))


def _after(name: str, *, batch_norm: bool) -> list[layers.Layer]:
    """Return what follows a layer and its pooling: batch normalisation and ReLU, if asked for.

    Pooling comes first, as it leaves a quarter of the numbers. No scale is learned: the next layer
    can learn it. So the scale, one over the deviation, is positive. It changes no maximum, and
    normalisation can be folded into the convolution.
    """
    if not batch_norm:
        return []
    return [
        layers.BatchNormalization(momentum=_MOMENTUM, scale=False, name=f"{name}_norm"),
        layers.ReLU(name=f"{name}_relu"),
    ]


class Inception:
    """An inception block of 50 filters, which leaves the size of the maps as it is.

    Four branches see the same maps: 1x1; 1x1 and 3x3; 1x1 and 5x5; 3x3 pooling and 1x1 (Szegedy et
    al., 2015, "Going deeper with convolutions", figure 2b). Each convolution has its ReLU.
    """

    def __init__(self) -> None:
        self.branches = [
            [self._branch("1x1", 12)],
            [self._branch("3x3_reduce", 12), self._branch("3x3", 18, 3)],
            [self._branch("5x5_reduce", 6), self._branch("5x5", 12, 5)],
            [layers.MaxPooling2D(3, 1, "same", name="inception_pool"), self._branch("pool_1x1", 8)],
        ]
        self.joined = layers.Concatenate(name="inception")

    @staticmethod
    def _branch(name: str, filters: int, side: int = 1) -> layers.Layer:
        how = {"padding": "same", "activation": "relu", "name": f"inception_{name}"}
        return layers.Conv2D(filters, side, **how)

    def __call__(self, maps: Any) -> Any:
        """Return the maps (N, H, W, 50) of the block for `maps` (N, H, W, C)."""
        found = []
        for branch in self.branches:
            one = maps
            for layer in branch:
                one = layer(one)
            found.append(one)
        return self.joined(found)


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


def _undrawn(name: str, inputs: Any, *stack: Any) -> keras.Model:
    """Return a stack with zero kernels; its configuration still names Keras's initializers.

    The caller sets the weights next. To draw them, JAX would compile a random generator for each
    shape, which takes longer than everything else.
    """
    parts: list[Any] = []
    for part in stack:
        parts += chain(*part.branches) if isinstance(part, Inception) else [part]
    drawn = [layer for layer in parts if hasattr(layer, "kernel_initializer")]
    initializers = [layer.kernel_initializer for layer in drawn]
    for layer in drawn:
        layer.kernel_initializer = keras.initializers.Zeros()
    if len(parts) == len(stack):
        model = keras.Sequential([inputs, *stack], name=name)
    else:  # a stack of layers cannot branch
        outputs = inputs
        for part in stack:
            outputs = part(outputs)
        model = keras.Model(inputs, outputs, name=name)
    for layer, initializer in zip(drawn, initializers, strict=True):
        layer.kernel_initializer = initializer
    return model


NETWORKS = {"lenet": lenet, "softmax-regression": softmax_regression}


def build(config: TrainConfig, dataset: Dataset) -> keras.Model:
    """Return the network of `config` for `dataset`, with the initial weights of its seed.

    Batch normalisation begins with the statistics of Keras: mean 0, variance 1.
    """
    network = NETWORKS[config.architecture]
    options = {name: value for name in OPTIONS if (value := getattr(config, name))}
    model = network(dataset.train.x.shape[1:], config.classes, head=config.head, **options)
    draw(model, seed=config.seed)
    return model


def draw(model: keras.Model, *, seed: int) -> None:
    """Give the trained weights of a network the initial values of a seed."""
    trained = model.trainable_variables
    values = draw_initial_weights([weight.shape for weight in trained], seed=seed)
    for weight, value in zip(trained, values, strict=True):
        weight.assign(value)
