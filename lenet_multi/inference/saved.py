"""Open a saved model, from a run folder or a `.keras` file, and refuse one that carries code."""

import copy
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from lenet_multi.config import TrainConfig
from lenet_multi.data.bombs import refuse_bombs_in
from lenet_multi.errors import UserError, cannot_read, reason
from lenet_multi.runs.folder import RUNS, finished
from lenet_multi.runs.record import MODEL, RESULT, Result, file_sha256, read_result
from lenet_multi.task import Task, find_task, of_record

if TYPE_CHECKING:
    import keras

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIG, "metadata.json", _WEIGHTS}
_CONFIG_BYTES = 16 * 2**20  # more than a large model needs; a LeNet's takes 5,000


@dataclass(frozen=True)
class SavedModel:
    """A `.keras` file: its path, the record of its run if any, and its model's configuration."""

    path: Path
    result: Result | None = None
    config: Any = None

    @property
    def trained_on(self) -> str | None:
        """The backend of its run, if known."""
        return self.result.backend if self.result else None

    @property
    def data(self) -> str:
        """The `--data` of its run (see `lenet.image_sets.load`), or MNIST."""
        return str(self.result.config["data"]) if self.result else TrainConfig.data

    @property
    def task(self) -> Task:
        """The task of its run, or the default task; raises `UserError` when it is not our own."""
        if not self.result:
            return find_task(TrainConfig.architecture)
        return of_record(self.result.config, self.path)

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """(N, height, width, channels), N usually None, if the file records it; without Keras."""
        try:
            layers = self.config["config"]["layers"]
            inputs = [layer for layer in layers if layer["class_name"] == "InputLayer"]
            return tuple(inputs[0]["config"]["batch_shape"])
        except (TypeError, LookupError):
            return None

    def load(self) -> "keras.Model":
        """Return the model, uncompiled, on the backend that Keras was started on.

        Raises `UserError` when it cannot be loaded or is not a model of its `task`.
        """
        try:
            with ZipFile(self.path) as archive:
                most_bytes = archive.getinfo(_WEIGHTS).file_size
            model = _undrawn(self.config, most_bytes)
            model.load_weights(self.path)
        except Exception as error:  # Keras raises errors of any class on a file it cannot read
            raise UserError(
                f"{self.path} cannot be loaded: {reason(error)}; use another model"
            ) from error
        if why := self.task.misfit(model):
            raise UserError(f"{self.path} {why}; use another model")
        return model


def find(source: Path) -> SavedModel:
    """Open a run folder or `.keras` file without Keras; raise `UserError` if it is unusable."""
    if not source.exists():
        raise UserError(f"no model at {source}: give a run folder or a .keras file")
    result = read_result(source / RESULT) if source.is_dir() else None
    path = source / MODEL if result else source
    if result and file_sha256(path) != result.files_sha256[MODEL]:
        raise UserError(
            f"{path} has another hash than {RESULT} records: it is damaged or of another run; "
            "train again"
        )
    config = _read_config(path)
    _refuse_code(path, config)
    return SavedModel(path, result, config)


def newest_run(folder: Path = RUNS) -> Path:
    """Return the newest run in `folder` or one level deeper; raise `UserError` if there is none."""
    found = (*folder.glob(f"*/{RESULT}"), *folder.glob(f"*/*/{RESULT}"))
    results = [path for path in found if finished(path.parent) == path.parent]
    if not results:
        raise UserError(f"no run in {folder}/: give a model, or train one with: lenet-multi train")
    return max(results, key=lambda path: path.stat().st_mtime).parent


def _read_config(path: Path) -> Any:
    def refusal(why: str) -> UserError:
        return UserError(f"{path} is no .keras file{why}; use another model")

    try:
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


def _refuse_code(path: Path, config: Any) -> None:
    """Refuse objects that Keras would import or run: a Lambda, or one that is not Keras's own."""
    for part in _dictionaries(config):
        if "class_name" not in part:
            continue
        name, module = part["class_name"], part.get("module")
        root = str(module).partition(".")[0]
        if "lambda" in str(name).lower() or (module is not None and root != "keras"):
            raise UserError(
                f"{path} carries code of its own ({module}.{name}), which is not run; save the "
                "model with only Keras's own layers"
            )


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
                raise UserError(f"its configuration has more weights than its {_WEIGHTS} holds")
            # Without a dtype JAX would compile a function that passes the array on.
            return keras.ops.convert_to_tensor(np.zeros(shape, dtype), dtype)

    # The names of default initializers, and "uniform", the default of embeddings.
    defaults = [name for name, kind in vars(keras.initializers).items() if isinstance(kind, type)]
    taken = [name for name in (*defaults, "uniform") if name.islower()]
    name = Zeros.__name__
    zeros = {"module": None, "class_name": name, "config": {}, "registered_name": name}
    own = copy.deepcopy(config)
    uncompiled = {key: part for key, part in own.items() if key != "compile_config"}
    for part in _dictionaries(uncompiled):
        for key, value in part.items():
            if key.endswith("_initializer") and isinstance(value, dict | str):
                part[key] = zeros
    return keras.saving.deserialize_keras_object(
        uncompiled,
        custom_objects=dict.fromkeys((name, *taken), Zeros),
        safe_mode=True,
    )


def _dictionaries(config: Any) -> Iterator[dict[str, Any]]:
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
