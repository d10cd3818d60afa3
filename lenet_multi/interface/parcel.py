"""Models and data of this process that a command shall find: places, or files for them."""

import inspect
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from lenet_multi.errors import UserError, reason

_FRAMEWORKS = ("tensorflow", "torch", "jax", "jaxlib")
_NUMBERS = "fiub"  # the `dtype.kind` of numbers


class Parcel:
    """What one command is sent: `folder` gets the files, `files` says which place each holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}

    def model(self, model: Any) -> str:
        """Return the place of a model: a place or a path as it is, or that of a builder.

        Raises `UserError` for anything else, and for a builder that cannot be sent.
        """
        if isinstance(model, str | Path):
            return str(model)
        if what := _live(model):
            raise UserError(f"the model is {what}; give a function that builds it, or its file")
        if not callable(model):
            kind = type(model).__name__
            raise UserError(f"the model is of type {kind}; give FILE.py:FUNCTION, or a function")
        return self._function(model)

    def data(self, data: Any) -> str:
        """Return the place of data: a place or a path as it is, a function's, or a new .npz.

        Raises `UserError` for what is not one of these or (x, y), and for arrays of no numbers.
        """
        if isinstance(data, str | Path):
            return str(data)
        if callable(data):
            return self._function(data)
        if not isinstance(data, list | tuple) or len(data) != 2:
            kind = type(data).__name__
            raise UserError(f"the data is of type {kind}; give (x, y), a path, or a function")
        pairs = [data]
        if all(isinstance(pair, tuple) and len(pair) == 2 for pair in data):
            pairs = list(data)
        path = self.folder / "data.npz"
        _write(pairs, path)
        return str(path)

    def _function(self, function: Callable[..., Any]) -> str:
        place = _place(function)
        if not _is_importable(function):
            while place in self.files:  # two functions without a name
                place += " again"
            path = self.folder / f"{len(self.files)}.pickle"
            path.write_bytes(_pickled(function, place))
            self.files[place] = path
        return place


def _place(function: Callable[..., Any]) -> str:
    inner = function.func if isinstance(function, partial) else function
    name = getattr(inner, "__qualname__", type(inner).__name__)
    bound = "" if inner is function else " with arguments"
    return f"{inner.__module__}:{name}{bound}"


def _is_importable(function: Callable[..., Any]) -> bool:
    """Return whether another process finds the function by the name of its module and its own."""
    name, module = (str(getattr(function, key, "")) for key in ("__qualname__", "__module__"))
    found = getattr(sys.modules.get(module), name, None)
    return found is function and _can_be_imported(module)


def _can_be_imported(module: str) -> bool:
    root = module.partition(".")[0]
    spec = PathFinder.find_spec(root)  # None for __main__ and for what pytest loads from a path
    return spec is not None and spec.origin == getattr(sys.modules[root], "__file__", None)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle carries no types
    """Refuses what another process cannot have: what belongs to one backend, and open files."""

    def reducer_override(self, thing: Any) -> Any:
        if what := _live(thing):
            raise pickle.PicklingError(what)
        return super().reducer_override(thing)


def _pickled(function: Callable[..., Any], place: str) -> bytes:
    """Return a function by value; raise `UserError` that says what it uses that cannot be sent."""
    own = sys.modules.get(function.__module__)
    by_value = own and not _can_be_imported(own.__name__)
    if by_value:
        cloudpickle.register_pickle_by_value(own)
    try:
        return _dump(function)
    except Exception as error:  # pickle raises errors of many classes
        used = next(_unfit(function), f"something in it ({reason(error)})")
        raise UserError(
            f"{place} cannot be sent to another process: it uses {used}; make that in the function"
        ) from error
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(own)


def _dump(thing: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(thing)
    return file.getvalue()


def _unfit(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the names from outside that a function uses and that cannot be sent, with the why."""
    if not inspect.isfunction(function):
        return
    variables = inspect.getclosurevars(function)
    for name, value in {**variables.globals, **variables.nonlocals}.items():
        try:
            _dump(value)
        except Exception as error:  # as above
            yield f"{name} ({reason(error)})"


def _live(thing: Any) -> str | None:
    """Say what `thing` is if it lives in this process alone: Keras's, a backend's or a file."""
    if isinstance(thing, type | ModuleType):
        return None
    keras = sys.modules.get("keras")
    for name in ("Model", "Layer", "Variable", "KerasTensor"):
        if isinstance(thing, getattr(keras, name, ())):
            return f"a keras.{name} of this process"
    root = type(thing).__module__.partition(".")[0]
    if root in _FRAMEWORKS and hasattr(thing, "shape") and hasattr(thing, "dtype"):
        return f"a tensor of {root}"
    return "an open file" if isinstance(thing, io.IOBase) else None


def _write(pairs: list[Any], path: Path) -> None:
    """Write (x, y), and a second pair for the test, as an .npz that `own.data` reads."""
    import numpy as np

    arrays: dict[str, Any] = {
        name: np.asarray(array)
        for part, (x, y) in zip(("", "_test"), pairs, strict=False)
        for side, given in ((f"x{part}", x), (f"y{part}", y))
        for name, array in _named(side, given)
    }
    for name, array in arrays.items():
        if array.dtype.kind not in _NUMBERS:
            raise UserError(f"the data's {name} is of dtype {array.dtype}; give arrays of numbers")
    np.savez(path, **arrays)


def _named(side: str, given: Any) -> Iterator[tuple[str, Any]]:
    """Yield each array with its name: x, or x.NAME of a dictionary, or x.0 and x.1 of a list."""
    several = dict(enumerate(given)) if isinstance(given, list | tuple) else given
    if isinstance(several, dict) and all(hasattr(one, "shape") for one in several.values()):
        yield from ((f"{side}.{key}", array) for key, array in several.items())
    else:
        yield side, given
