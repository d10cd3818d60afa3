"""What follows a block's convolution and pooling, on whatever axis a form has the filters.

To bring them to the last axis first would take longer: XLA copies.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras import layers, ops

Tensor = Any  # the backend's own
After = Callable[[Tensor, int], Tensor]
"""From pooled sums and the axis of their filters to the outputs of the block, alike in shape."""

_ACTIVATIONS = (keras.activations.linear, keras.activations.relu)


def is_monotone(conv: layers.Conv2D) -> bool:
    """Return whether a convolution's activation never falls, so that pooling may come first."""
    return conv.activation in _ACTIVATIONS


def is_known(layer: layers.Layer) -> bool:
    """Return whether a layer after the pooling can be computed here."""
    if layer.activity_regularizer is not None:  # it adds its outputs to the loss
        return False
    if type(layer) is layers.BatchNormalization:
        return layer.axis in (-1, 3) and not (layer.renorm or layer.synchronized)
    if type(layer) is layers.ReLU:
        return (layer.negative_slope, layer.max_value, layer.threshold) == (0.0, None, 0.0)
    return False


def after(
    conv: layers.Conv2D, others: Iterable[layers.Layer], dtype: str, training: bool | None
) -> After:
    """Return what computes the bias and the activation of `conv`, then the `others`."""
    # Read the weights here, because JAX replaces them; cast them as the layer would.
    bias = ops.cast(ops.cast(conv.bias, conv.compute_dtype), dtype) if conv.use_bias else None
    first = activated(bias, conv.activation)

    def computed(pooled: Tensor, axis: int) -> Tensor:
        pooled = first(pooled, axis)
        for layer in others:
            if isinstance(layer, layers.ReLU):
                pooled = ops.relu(pooled)
            else:
                pooled = _normalised(layer, pooled, axis, training=bool(training))
        return pooled

    return computed


def activated(bias: Tensor | None, activation: Callable[[Tensor], Tensor]) -> After:
    """Return what adds the bias (O,), if any, and applies the activation."""

    def computed(pooled: Tensor, axis: int) -> Tensor:
        if bias is not None:
            following = len(pooled.shape) - 1 - axis
            along = ops.reshape(bias, (-1, *[1] * following)) if following else bias
            pooled = pooled + along
        return activation(pooled)

    return computed


def _normalised(
    norm: layers.BatchNormalization, pooled: Tensor, axis: int, *, training: bool
) -> Tensor:
    """Return what Keras's layer does, with its formula and its moving statistics.

    Like the layer, it computes halves in float32; the result has the dtype of `pooled`.
    """
    outputs = pooled.dtype
    dtype = keras.backend.result_type(outputs, "float32")
    pooled = ops.cast(pooled, dtype)
    weights = (norm.moving_mean, norm.moving_variance, norm.beta, norm.gamma)
    # Read the weights here, because JAX replaces them.
    mean, variance, offset, scale = (
        weight if weight is None else ops.cast(weight, dtype) for weight in weights
    )
    if training and norm.trainable:
        of_before = mean, variance
        axes = [other for other in range(len(pooled.shape)) if other != axis]
        mean, variance = ops.moments(pooled, axes=axes)
        for weight, old, new in zip(weights[:2], of_before, (mean, variance), strict=True):
            weight.assign(old * norm.momentum + new * (1.0 - norm.momentum))
    normalised = ops.batch_normalization(
        pooled, mean, variance, axis, offset=offset, scale=scale, epsilon=norm.epsilon
    )
    return ops.cast(normalised, outputs)
