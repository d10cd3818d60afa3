"""Open a `.keras` file without running code of its own; refuse one that is damaged or a bomb."""

import copy
import json
import math
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from lenet_multi.data.bombs import refuse_bombs_in
from lenet_multi.data.h5 import SIGNATURE
from lenet_multi.errors import UserError, by, cannot_read, reason

if TYPE_CHECKING:
    import keras

_CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_OPTIMIZER = "optimizer/"  # where a file of weights has the state of the optimizer
_MEMBERS = {_CONFIG, "metadata.json", WEIGHTS}
_FOR_TRAINING = ("_regularizer", "_constraint")
_CONFIG_BYTES = 16 * 2**20  # more than a large model needs; a LeNet's takes 5,000


def load(path: Path, *, trains: bool = False) -> "keras.Model":
    """Return the uncompiled model of a `.keras` file, on the backend that Keras was started on.

    A model that `trains` has its regularizers and constraints. Raises `UserError` when the file is
    missing, damaged, carries code of its own or cannot be loaded.
    """
    if not path.exists():
        raise UserError(f"no model at {path}: give a .keras file")
    config = used(read_config(path), trains=trains)
    refuse_code(path, config)
    return model_of(path, config)


def compile_settings(path: Path) -> dict[str, Any]:
    """Return what the model of a `.keras` file was compiled with, as Keras serialised it.

    Code of its own may be among it (see `code_in`). Raises `UserError` when the file is damaged.
    """
    from lenet_multi.backends.portable import portable

    config = read_config(path)
    settings = config.get("compile_config") if isinstance(config, dict) else None
    return portable(settings) or {} if isinstance(settings, dict) else {}


def model_of(path: Path, config: Any) -> "keras.Model":
    """Return the uncompiled model of a configuration (see `used`), with the weights of its file."""
    import keras

    try:
        with ZipFile(path) as archive:
            most_bytes = archive.getinfo(WEIGHTS).file_size
        if keras.config.floatx() == "float64":  # the file may hold float32
            most_bytes *= 2
        model = _undrawn(config, most_bytes)
        model.load_weights(path)
    except Exception as error:  # Keras raises errors of any class on a file it cannot read
        raise UserError(f"{path} cannot be loaded: {reason(error)}; use another model") from error
    return model


def fill(model: "keras.Model", path: Path, of: str, *, optimizer: bool = False) -> None:
    """Load the weights of a `.keras` file into a built `model`; with `optimizer`, its state too.

    This reads only arrays, so no code of the file runs. `of` names the model in messages. Raises
    `UserError` unless the file has exactly the arrays that this model would save: Keras alone
    ignores layers that the file lacks or has in excess.
    """
    with TemporaryDirectory() as folder:
        own, given = (Path(folder, f"{name}.weights.h5") for name in ("own", "given"))
        model.save_weights(own)
        try:
            with ZipFile(path) as archive:
                given.write_bytes(archive.read(WEIGHTS))
            found, wanted = (_shapes(file, optimizer=optimizer) for file in (given, own))
        except Exception as error:  # h5py raises errors of any class on a file it cannot read
            raise UserError(
                f"{path} cannot be loaded: {reason(error)}; use another model"
            ) from error
        for name in sorted(found.keys() | wanted.keys()):
            if (here := found.get(name)) != (there := wanted.get(name)):
                has, takes = (f"{name} {one}" if one else f"no {name}" for one in (here, there))
                raise UserError(
                    f"{path} does not fit {of}: it has {has}, the model has {takes}; give a model "
                    "of the same architecture"
                )
        other = None if optimizer else getattr(model, "optimizer", None)
        model.load_weights(given, objects_to_skip=[other] if other else None)


def _shapes(path: Path, *, optimizer: bool) -> dict[str, str]:
    """Return the shape of each array in a file of weights, by name."""
    import h5py

    found: dict[str, str] = {}

    def see(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (optimizer or not name.startswith(_OPTIMIZER)):
            found[name] = by(item.shape) or "a number"

    with h5py.File(path) as file:
        file.visititems(see)
    return found


def read_config(path: Path) -> Any:
    """Return the configuration in a `.keras` file; raise `UserError` when it is damaged."""

    def refusal(why: str) -> UserError:
        return UserError(f"{path} is no .keras file{why}; use another model")

    try:
        if _is_hdf5(path):
            raise UserError(
                f"{path} has Keras's older format, HDF5; save it as .keras: "
                f"keras.saving.load_model({str(path)!r}).save({str(path.with_suffix('.keras'))!r})"
            )
        with ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if astray := [name for name in sizes if name[:1] == "/" or ".." in name.split("/")]:
                raise refusal(f": {astray[0]!r} would lead out of it")
            refuse_bombs_in(path, archive.infolist())
            if lacking := _MEMBERS - sizes.keys():
                raise refusal(f": it lacks {', '.join(sorted(lacking))}")
            if sizes[_CONFIG] > _CONFIG_BYTES:
                raise refusal(f": its {_CONFIG} is too large")
            if damaged := archive.testzip():
                raise UserError(f"{path} is damaged at {damaged}; use another model")
            return json.loads(archive.read(_CONFIG))
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error
    except (BadZipFile, ValueError, RuntimeError, EOFError, LZMAError, zlib.error) as error:
        raise refusal(f", or it is damaged: {reason(error)}") from error


def _is_hdf5(path: Path) -> bool:
    """Return whether a file begins as HDF5 does; raise `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def used(config: Any, *, trains: bool = False) -> Any:
    """Return a copy of a file's configuration with only what a model needs to compute.

    It needs no compile settings, and no initializers, because the file has the weights. Only a
    model that `trains` needs regularizers and constraints; else the copy lacks those that are not
    Keras's own.
    """
    kept = copy.deepcopy(config)
    for part in dictionaries(kept):
        if "class_name" in part:
            part.pop("compile_config", None)
        for key, value in part.items():
            if key.endswith("_initializer") and isinstance(value, dict | str):
                part[key] = "zeros"
            elif not trains and key.endswith(_FOR_TRAINING) and code_in(value):
                part[key] = None
    return kept


def refuse_code(path: Path, config: Any) -> None:
    """Raise `UserError` if Keras would import or run code of a configuration (see `used`)."""
    if code := code_in(config):
        raise UserError(
            f"{path} carries code of its own ({code}), which is not run; save the model with only "
            "Keras's own layers, or give train, or --model of evaluate, the FILE.py:FUNCTION that "
            "builds it"
        )


def code_in(config: Any) -> str | None:
    """Return the name of the first object that is a Lambda or not Keras's own, if there is one."""
    for part in dictionaries(config):
        if "class_name" not in part:
            continue
        name, module = part["class_name"], part.get("module")
        if module is None and part.get("registered_name"):
            module = "__main__"  # Keras leaves it out for what a notebook defines
        root = str(module).partition(".")[0]
        if "lambda" in str(name).lower() or (module is not None and root != "keras"):
            return (
                f"the function {part.get('config')}" if name == "function" else f"{module}.{name}"
            )
    return None


def _undrawn(config: Any, most_bytes: int) -> "keras.Model":
    """Return an uncompiled model with zero weights: to draw them, JAX would compile a generator.

    The caller reads the weights. Raises `UserError` before they take more than `most_bytes`.
    """
    import keras

    left = most_bytes

    class Zeros(keras.initializers.Initializer):  # type: ignore[misc]  # Keras carries no types
        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            nonlocal left
            dtype = keras.backend.standardize_dtype(dtype)
            left -= math.prod(shape) * np.dtype(dtype).itemsize
            if left < 0:
                raise UserError(f"its configuration has more weights than its {WEIGHTS} holds")
            # Without a dtype JAX would compile a function that passes the array on.
            return keras.ops.convert_to_tensor(np.zeros(shape, dtype), dtype)

    # The names of default initializers, and "uniform", the default of embeddings.
    defaults = [name for name, kind in vars(keras.initializers).items() if isinstance(kind, type)]
    taken = [name for name in (*defaults, "uniform") if name.islower()]
    name = Zeros.__name__
    zeros = {"module": None, "class_name": name, "config": {}, "registered_name": name}
    undrawn = copy.deepcopy(config)
    _follow_precision(undrawn)
    for part in dictionaries(undrawn):
        for key, value in part.items():
            if key.endswith("_initializer") and isinstance(value, dict | str):
                part[key] = zeros
    return keras.saving.deserialize_keras_object(
        undrawn,
        custom_objects=dict.fromkeys((name, *taken), Zeros),
        safe_mode=True,
    )


def _follow_precision(config: Any) -> None:
    """Let layers that were saved in float32, Keras's default, compute in the precision of today.

    In a model that mixes precisions, float32 is its author's choice: it does not become mixed.
    """
    import keras

    with_dtype = [part for part in dictionaries(config) if "dtype" in part]
    mixes = any("mixed_" in json.dumps(part["dtype"]) for part in with_dtype)
    floatx = keras.config.floatx()
    today = floatx if mixes else keras.config.dtype_policy().name
    for part in with_dtype:
        policy = part["dtype"]
        if policy == "float32":  # not of a layer, or of its inputs
            part["dtype"] = floatx
        elif isinstance(policy, dict) and policy.get("config") == {"name": "float32"}:
            part["dtype"] = {**policy, "config": {"name": today}}


def dictionaries(config: Any) -> Iterator[dict[str, Any]]:
    """Yield each dictionary in a configuration, at any depth."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
