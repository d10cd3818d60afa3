"""What a climb files of a model's weights: their names, digests, and gradients."""

import hashlib
from collections.abc import Sequence

import keras
import numpy as np

from lenet_multi.data.examples import Arrays, parts
from lenet_multi.parity.evidence import Array


def names_of(model: keras.Model) -> list[str]:
    """Return the weights' paths, such as "conv1/kernel", without the model's name if any."""
    return [weight.path.removeprefix(f"{model.name}/") for weight in model.weights]


def names_of_state(model: keras.Model) -> list[str]:
    """Return the names of weights that no gradient trains, such as moving means."""
    trained = set(map(id, model.trainable_weights))
    named = zip(names_of(model), model.weights, strict=True)
    return [name for name, weight in named if id(weight) not in trained]


def gradients_of(model: keras.Model, before: Sequence[Array], *, rate: float) -> list[Array]:
    """Return each trained weight's gradient after a step of SGD at `rate`; of others the new value.

    `before` are the weights before the step.
    """
    trained = set(map(id, model.trainable_weights))
    return [
        (old - new) / rate if id(weight) in trained else new
        for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True)
    ]


def digest(arrays: Arrays) -> str:
    """Return the SHA-256 of the bytes of an array, or of several in their order."""
    return hashlib.sha256(b"".join(np.asarray(one).tobytes() for one in parts(arrays))).hexdigest()
