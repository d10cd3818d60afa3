"""Draw data that fit a model: inputs of its own shapes and dtypes, targets that suit its loss."""

from typing import Any

import keras
import numpy as np
from keras import tree
from numpy.typing import NDArray

from lenet_multi.backends.layers import layers
from lenet_multi.data.examples import Arrays
from lenet_multi.errors import UserError

_FREE = 16  # the length of an axis that the model leaves open
_OF_CLASSES = {"sparse_categorical_crossentropy": True, "categorical_crossentropy": False}
_OF_TWO = {"binary_crossentropy", "binary_focal_crossentropy", "hinge", "squared_hinge"}


def inputs(model: keras.Model, count: int, generator: np.random.Generator) -> Arrays:
    """Return `count` inputs of the model's signature: floats are normal, integers uniform.

    Integers stay below the smallest vocabulary of an `Embedding`. Raises `UserError` for a model
    without a signature.
    """
    if (wanted := signature(model)) is None:
        raise UserError(f"the model {model.name} does not say what it takes; give --data")
    vocabularies = [one.input_dim for one in layers(model) if hasattr(one, "embeddings")]
    most = min(vocabularies, default=2)

    def draw(tensor: Any) -> NDArray[Any]:
        shape = (count, *(_FREE if length is None else length for length in tensor.shape[1:]))
        if "int" in tensor.dtype:
            return generator.integers(0, most, shape).astype(tensor.dtype)
        if tensor.dtype == "bool":
            return generator.random(shape) < 0.5
        return generator.normal(size=shape).astype("float32")

    return tree.map_structure(draw, wanted)


def signature(model: keras.Model) -> Any:
    """Return the `KerasTensor`s that a model takes, nested as its inputs are, or None."""
    if not model.built or not getattr(model, "inputs", None):
        return None
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def targets(model: keras.Model, loss: Any, x: Arrays, generator: np.random.Generator) -> Arrays:
    """Return targets for the inputs `x` that suit `loss`, the argument of Keras's `compile`."""
    specs = tree.map_structure(lambda part: keras.KerasTensor(part.shape, str(part.dtype)), x)
    outputs = model.compute_output_spec(specs)

    def draw(tensor: Any, one: Any) -> NDArray[Any]:
        shape, name = tuple(tensor.shape), name_of(one)
        if name in _OF_CLASSES:
            labels = generator.integers(0, shape[-1], shape[:-1])
            return labels if _OF_CLASSES[name] else np.eye(shape[-1], dtype=np.float32)[labels]
        if name in _OF_TWO:
            return generator.integers(0, 2, shape).astype(np.float32)
        return np.abs(generator.normal(size=shape)).astype(np.float32)

    if isinstance(loss, dict) and isinstance(outputs, dict):
        return {key: draw(outputs[key], loss.get(key)) for key in outputs}
    if isinstance(loss, list | tuple):
        flat = zip(tree.flatten(outputs), loss, strict=True)
        return tree.pack_sequence_as(outputs, [draw(*pair) for pair in flat])
    return tree.map_structure(lambda tensor: draw(tensor, loss), outputs)


def name_of(loss: Any) -> str:
    """Return Keras's snake-case name of a loss: an object, a function or a name."""
    if isinstance(loss, keras.losses.Loss):
        loss = getattr(loss, "fn", type(loss))
    return str(getattr(loss, "__name__", loss))
