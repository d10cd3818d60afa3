"""Everything that training changes in a model: weights, optimizer, metrics, seeds."""

import re
from typing import Any

import keras
from keras import ops, tree


def variables(model: keras.Model) -> list[keras.Variable]:
    """Return all variables of a compiled and built `model`, always in the same order."""
    named = [*model.weights, *model.optimizer.variables, *model.metrics_variables]
    known = set(map(id, named))
    # Others are, for example, the seeds of dropout.
    return [*named, *(variable for variable in model.variables if id(variable) not in known)]


def path_of(variable: keras.Variable) -> str:
    """Return a variable's path without the numbers that Keras adds to repeated names."""
    return unnumbered(str(variable.path))


def unnumbered(path: str) -> str:
    """Return "dense/kernel" for "dense_3/kernel"."""
    return re.sub(r"_\d+(?=[/_]|$)", "", path)


def make_variables(model: keras.Model, x: Any, y: Any) -> list[str]:
    """Create missing variables, as a first step would; return the metrics' names.

    `x` and `y` (N, ...) are a batch of training data, in NumPy or the backend.
    """
    model.optimizer.build(model.trainable_variables)
    inputs = tree.map_structure(lambda part: keras.KerasTensor(part.shape, part.dtype), x)
    outputs = tree.map_structure(
        lambda spec: ops.zeros(tuple(spec.shape), spec.dtype), model.compute_output_spec(inputs)
    )
    with keras.StatelessScope():  # counts nothing
        targets = tree.map_structure(ops.convert_to_tensor, y)
        return list(model.compute_metrics(None, targets, outputs))
