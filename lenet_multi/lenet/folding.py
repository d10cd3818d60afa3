"""Fold batch normalisation and a temperature into the weights: the same network without them."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.lenet import networks


def folded(model: keras.Model, config: TrainConfig) -> keras.Model:
    """Return the LeNet without batch normalisation that gives the answers of `model`.

    A layer with the kernel W, followed by (max pooling and) normalisation with the mean m, the
    variance v and the offset b, computes (W x - m) / s + b with s = sqrt(v + epsilon), which is
    (W / s) x + (b - m / s). Division by a positive number leaves maxima where they are. The new
    weights are computed in float64, then rounded to float32.
    """
    stock = networks.lenet(
        model.input_shape[1:],
        model.output_shape[-1],
        head=config.head,
        dropout=config.dropout,
        inception=config.inception,
    )
    for layer in stock.layers:
        if layer.weights:
            layer.set_weights(_weights(model, layer.name))
    return stock


def sharpen(model: keras.Model, temperature: float) -> None:
    """Multiply the logits of the LeNet by `temperature`: change its last kernel and bias.

    A student's logits are those of its teacher, divided by the temperature.
    """
    last = model.layers[-1]
    last.set_weights([weight * np.float32(temperature) for weight in last.get_weights()])


def _weights(model: keras.Model, name: str) -> list[NDArray[Any]]:
    """Return kernel and bias of the layer `name`, with what normalises after it folded in."""
    weights: list[NDArray[Any]] = model.get_layer(name).get_weights()
    norms = [one for one in model.layers if one.name == f"{name}_norm"]
    if not norms:
        return weights
    (norm,) = norms
    assert isinstance(norm, layers.BatchNormalization)
    assert not norm.scale
    offset, mean, variance = (value.astype(np.float64) for value in norm.get_weights())
    deviation = np.sqrt(variance + norm.epsilon)
    return [weights[0] / deviation, offset - mean / deviation]
