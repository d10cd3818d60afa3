"""Change what a classifier ends in: logits, or their softmax."""

from typing import Any

import keras
from keras import layers

from lenet_multi.backends.layers import layers as walked
from lenet_multi.backends.private import tensorflow_left_out
from lenet_multi.errors import UserError


def with_logits(model: keras.Model) -> keras.Model:
    """Return `model`, or a copy without the softmax if its last layer has one as activation."""
    if getattr(model.layers[-1], "activation", None) is not keras.activations.softmax:
        return model
    twin = _copied(model)
    twin.layers[-1].activation = keras.activations.linear
    return twin


def with_probabilities(model: keras.Model) -> keras.Model:
    """Return `model` in float32, with a softmax added if `model` gives logits.

    Its input `images` is (N, height, width, channels), its output probabilities (N, classes).
    Raises `UserError` when `model` gives neither logits nor a softmax.
    """
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    gives_softmax = isinstance(last, layers.Softmax) or activation is keras.activations.softmax
    if not gives_softmax and activation is not keras.activations.linear:
        raise UserError(
            f"the model's last layer, {last.name}, must give logits or a softmax; use another model"
        )
    if any(layer.compute_dtype != "float32" for layer in model.layers):
        model = _copied(model, dtype="float32")
    images = keras.Input(model.input_shape[1:], name="images")
    answers = model(images)
    return keras.Model(images, answers if gives_softmax else layers.Softmax()(answers))


def _copied(model: keras.Model, **change: Any) -> keras.Model:
    """Return a copy of `model` with the same weights; `change` replaces settings of each layer."""

    def copy(layer: layers.Layer) -> layers.Layer:
        settings = layer.get_config() | change
        # Zeros are replaced below; drawing them at random would make JAX compile a generator.
        zero = {name: "zeros" for name in settings if name.endswith("_initializer")}
        return type(layer).from_config(settings | zero)

    with tensorflow_left_out():
        twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    for layer in walked(twin):
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # it computes with a copy of what `adapt` found
    return twin
