"""Everything that training changes in a model: weights, optimizer, metrics, seeds."""

from typing import Any

import keras

Labels = Any  # (N, ...), NumPy's or the backend's own


def variables(model: keras.Model) -> list[keras.Variable]:
    """Return all variables of a compiled and built `model`, always in the same order."""
    named = [*model.weights, *model.optimizer.variables, *model.metrics_variables]
    known = set(map(id, named))
    # As the seeds of dropout, which are no weights.
    others = [variable for variable in model.variables if id(variable) not in known]
    return [*named, *others]


def build(model: keras.Model, labels: Labels) -> list[str]:
    """Make what is missing of them, as a first step would; return the metrics' names.

    `labels` (N, ...) are some that the model is trained on.
    """
    model.optimizer.build(model.trainable_variables)
    outputs = keras.ops.zeros((len(labels), model.output_shape[-1]))
    with keras.StatelessScope():  # counts nothing
        return list(model.compute_metrics(None, keras.ops.convert_to_tensor(labels), outputs))
