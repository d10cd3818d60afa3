"""Everything that training changes in a model: weights, optimizer, metrics, seeds."""

import re
from typing import Any

import keras
import numpy as np
from keras import ops, tree
from numpy.typing import NDArray

Array = NDArray[Any]
State = list[Array]  # the values of `changed_by_steps`; on PyTorch its generators too


def variables(model: keras.Model) -> list[keras.Variable]:
    """Return all variables of a compiled and built `model`, always in the same order."""
    named = [*model.weights, *model.optimizer.variables, *model.metrics_variables]
    known = set(map(id, named))
    # Others are, for example, the seeds of dropout.
    return [*named, *(variable for variable in model.variables if id(variable) not in known)]


def changed_by_steps(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that a step changes, in the order of Keras's state on JAX."""
    return [variable for group in state_groups(model) for variable in group]


def state_groups(model: keras.Model) -> tuple[list[keras.Variable], ...]:
    """Return the variables that a step changes, grouped as Keras's state on JAX."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def state_of(model: keras.Model) -> State:
    """Return copies of the values that a step changes."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in changed_by_steps(model)]


def set_state(model: keras.Model, state: State) -> None:
    """Set the values that a step changes."""
    for variable, value in zip(changed_by_steps(model), state, strict=True):
        variable.assign(value)


def path_of(variable: keras.Variable) -> str:
    """Return a variable's path without the numbers that Keras adds to repeated names."""
    return unnumbered(str(variable.path))


def unnumbered(path: str) -> str:
    """Return "dense/kernel" for "dense_3/kernel"."""
    return re.sub(r"_\d+(?=[/_]|$)", "", path)


def _like(part: Any) -> keras.KerasTensor | None:
    return None if part is None else keras.KerasTensor(part.shape, part.dtype)


def make_variables(model: keras.Model, x: Any, y: Any) -> None:
    """Create missing variables of a compiled `model`, as a first step would.

    `x` and `y` (N, ...) are a batch of training data, in NumPy or the backend; `y` and parts of
    `x` may be None.
    """
    inputs = tree.map_structure(_like, x)
    outputs = tree.map_structure(
        lambda spec: ops.zeros(tuple(spec.shape), spec.dtype), model(inputs, training=False)
    )
    if not model.optimizer.built:  # a LossScaleOptimizer would make its variables again
        model.optimizer.build(model.trainable_variables)
    x, y = (
        tree.map_structure(lambda part: part if part is None else ops.convert_to_tensor(part), side)
        for side in (x, y)
    )
    values = [(variable, variable.value) for variable in model.variables]
    with keras.StatelessScope(state_mapping=values):  # changes nothing
        if model.loss is not None:  # several outputs have a mean loss each
            model.compute_loss(x, y, outputs, None)
        model.compute_metrics(x, y, outputs)
