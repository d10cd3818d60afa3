"""Count the terms that a model adds in its sums; rounding grows with the root of their number."""

import math
from collections.abc import Mapping, Sequence

import keras

from lenet_multi.backends.layers import layers
from lenet_multi.parity.evidence import Array

Terms = dict[str, int]  # on the way to an output ("L1") and to a gradient ("L2")


def of_stack(model: keras.Model, batch_size: int) -> Terms:
    """Return the terms of a plain stack of layers.

    A layer adds one term for each kernel weight that an output uses. The backward pass adds as many
    again, and for the kernel's gradient one term for each image at each position.
    """
    stack = [layer for layer in model.layers if hasattr(layer, "kernel")]
    forward = sum(math.prod(layer.kernel.shape[:-1]) for layer in stack)
    positions = sum(math.prod(layer.output.shape[1:-1]) for layer in stack)
    return {"L1": forward, "L2": 2 * forward + batch_size * positions}


def of_calls(model: keras.Model, calls: Mapping[str, Sequence[Array]]) -> Terms:
    """Return the terms of any model, from its weights and from the outputs of its layers' calls.

    A weight of n columns adds a term for each of its rows. A gradient adds one term for each place,
    and each example, where a layer with weights gives an output.
    """
    rows = sum(math.prod(w.shape[:-1]) for w in model.trainable_weights if len(w.shape) > 1)
    with_weights = {
        str(getattr(layer, "path", layer.name)): layer
        for layer in layers(model)
        if layer is not model and layer.trainable_weights
    }
    places = sum(
        math.prod(output.shape[:-1])
        for name, outputs in calls.items()
        if name.partition(" call ")[0] in with_weights
        for output in outputs
    )
    forward = max(rows, 1)
    return {"L1": forward, "L2": 2 * forward + max(places, 1)}
