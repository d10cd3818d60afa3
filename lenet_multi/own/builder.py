"""Call a user's builder, and refuse what is no model that can be trained."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from lenet_multi.data.examples import Examples, parts
from lenet_multi.errors import UserError, by, reason
from lenet_multi.own.user_code import user_code

Builder = Callable[[], "keras.Model"]


def call(name: str, function: Callable[..., Any]) -> Any:
    """Return what a user's `function` without arguments returns.

    Raises `UserError` when it takes arguments, or raises an error.
    """
    refuse_arguments(name, function)
    with user_code(name):
        return function()


def refuse_arguments(name: str, function: Callable[..., Any]) -> None:
    """Raise `UserError` when a user's `function` cannot be called without arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function written in C has no signature
        return
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        str(parameter.name)
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind not in optional
    ]
    if needed:
        raise UserError(
            f"{name} takes the arguments {', '.join(needed)}; give a function that takes none"
        )


def built(name: str, builder: Callable[..., Any]) -> "keras.Model":
    """Return the model of a user's builder; raise `UserError` when it returns anything else."""
    model = call(name, builder)
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}".removeprefix("builtins.")
        raise UserError(f"{name} returns {kind}; it must return a keras.Model")
    return model


def refuse_loss(name: str, model: "keras.Model", batch: Examples) -> None:
    """Raise `UserError` when the compiled loss does not fit the model's outputs and the targets."""
    with user_code(f"{name}: its model, called with a batch,"):
        outputs = model(batch.x, training=False)
    try:
        value = model.compute_loss(x=batch.x, y=batch.y, y_pred=outputs, training=True)
    except Exception as error:  # of any class, from any loss
        given = " and ".join(by(one.shape) for one in keras.tree.flatten(outputs))
        wanted = " and ".join(by(one.shape) for one in parts(batch.y))
        raise UserError(
            f"{name}: the loss does not fit outputs {given} and targets {wanted}: {reason(error)}; "
            "change --loss or --data"
        ) from error
    if not np.isfinite(loss := float(keras.ops.convert_to_numpy(value))):
        raise UserError(f"{name}: the first batch's loss is {loss}; change the model or --data")
