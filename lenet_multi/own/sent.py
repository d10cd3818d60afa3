"""A user's function that came by value, because no file or module has it: one of a notebook.

A process that asks for a command can send functions to it: it writes them with cloudpickle, and
says in the variable `SENT` which file holds the function of which place. A pickle is code. So a
place never names a file of this kind, only the variable does.
"""

import inspect
import json
import os
import pickle
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lenet_multi.own.user_code import user_code

SENT = "LENET_MULTI_SENT"  # JSON: an object with the path of the pickle for each place


def environment(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the variable for a process that shall find functions in `files`, by their places."""
    return {SENT: json.dumps({place: str(path) for place, path in files.items()})} if files else {}


def is_sent(place: str) -> bool:
    """Return whether the function of this place was sent to this process."""
    return place in json.loads(os.environ.get(SENT, "{}"))


@cache
def receive(place: str) -> Callable[..., Any]:
    """Return the function of a place that was sent; Keras must have been started.

    The classes and functions beside it become known to Keras, so that a saved model which names
    them can be loaded. Raises `UserError` when something that the function needs is missing here.
    """
    import keras

    path = Path(json.loads(os.environ[SENT])[place])
    with user_code(place), path.open("rb") as file:
        function: Callable[..., Any] = pickle.load(file)
    known = keras.saving.get_custom_objects()
    known |= {one.__name__: one for one in _neighbours(function)}
    return function


def _neighbours(function: Callable[..., Any]) -> list[Any]:
    """Return the classes and functions of a function's own module that it refers to."""
    inner = getattr(function, "func", getattr(function, "__func__", function))  # partial, method
    if not inspect.isfunction(inner):
        return []
    inside = inspect.getclosurevars(inner).nonlocals
    return [
        value
        for value in {**inner.__globals__, **inside}.values()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == inner.__module__
    ]
