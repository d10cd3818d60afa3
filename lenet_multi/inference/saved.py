"""Open a saved model, from a run folder or a `.keras` file, and refuse one that carries code."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet_multi.config import DIGIT, INPUT_RANGES, TrainConfig
from lenet_multi.data import class_names
from lenet_multi.data.class_names import Names
from lenet_multi.errors import UserError
from lenet_multi.inference.inputs import Inputs, inputs_of
from lenet_multi.own import input_range, keras_file
from lenet_multi.own.find import find_task, of_record
from lenet_multi.runs.folder import RUNS, finished
from lenet_multi.runs.record import MODEL, RESULT, Result, file_sha256, read_result
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class SavedModel:
    """A `.keras` file: its path, the record of its run if any, and its model's configuration.

    `asked_range` and `asked_prepared` are what the user said about its inputs, and `asked_names`
    the names that the user gave its classes.
    """

    path: Path
    result: Result | None = None
    config: Any = None
    asked_range: str | None = None
    asked_prepared: str | None = None
    asked_names: Names | None = None

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file."""
        return self.result.files_sha256[MODEL] if self.result else file_sha256(self.path)

    @property
    def trained_on(self) -> str | None:
        """The backend of its run, if known."""
        return self.result.backend if self.result else None

    @property
    def data(self) -> str:
        """The `--data` of its run (see `lenet.image_sets.load`), or MNIST."""
        return str(self.result.config["data"]) if self.result else TrainConfig.data

    @property
    def class_names(self) -> Names | None:
        """The names of its classes, of its run or from the user; None: labels are the names."""
        return self.asked_names or (tuple(self.result.class_names) or None if self.result else None)

    @property
    def task(self) -> Task:
        """The task of its run, or the default task, with the model's own range of inputs.

        Raises `UserError` when it is not our own.
        """
        task, range_ = self._task, self.inputs.range
        if range_ not in task.ranges or task.ranges[range_] is task.prepare:
            return task
        return replace(task, prepare=task.ranges[range_])

    @property
    def _task(self) -> Task:
        if not self.result:
            return find_task(TrainConfig())
        return of_record(self.result.config, self.path)

    @cached_property
    def inputs(self) -> Inputs:
        """How its inputs are made, and from where that is known."""
        recorded: dict[str, str] = {}
        if self.result:  # older programs recorded none; all fed [0, 1], and MNIST's digits
            recorded = {"range": INPUT_RANGES[0]} | self.result.inputs
            if self.data == TrainConfig.data:
                recorded = {"prepared": DIGIT} | recorded
        return inputs_of(
            recorded,
            input_range.from_layers(self.path, self.config),
            self._task.prepared_for(self.input_shape),
            asked_range=self.asked_range,
            asked_prepared=self.asked_prepared,
        )

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

        Raises `UserError` when it cannot be loaded, is not a model of its `task`, or has more or
        fewer classes than names.
        """
        model = keras_file.model_of(self.path, self.config)
        if why := self.task.misfit(model):
            raise UserError(f"{self.path} {why}; use another model")
        classes = model.output_shape[-1]
        remedy = f"give {classes} names" if self.asked_names else "train again"
        source = class_names.FLAG if self.asked_names else self.path
        class_names.refuse_misfit(self.class_names, classes, source, remedy)
        return model


def find(
    source: Path,
    *,
    with_code: bool = False,
    asked_range: str | None = None,
    asked_prepared: str | None = None,
    names: str | None = None,
) -> SavedModel:
    """Open a run folder or `.keras` file without Keras; raise `UserError` if it is unusable.

    A model with its own code is usable only `with_code`: when the user names that code.
    `asked_range` and `asked_prepared` are what the user said about its inputs. `names` are the
    user's `--class-names`, for a model that has none.
    """
    if not source.exists():
        raise UserError(f"no model at {source}: give a run folder or a .keras file")
    if source.is_dir() and not (source / RESULT).exists():
        raise UserError(
            f"{source} is no run folder: it has no {RESULT}; give a run folder or a .keras file"
        )
    result = read_result(source / RESULT) if source.is_dir() else None
    path = source / MODEL if result else source
    if result and file_sha256(path) != result.files_sha256[MODEL]:
        raise UserError(
            f"{path} has another hash than {RESULT} records: it is damaged or of another run; "
            "train again"
        )
    if result and not with_code:
        of_record(result.config, path)
    config = keras_file.used(keras_file.read_config(path))
    if not with_code:
        keras_file.refuse_code(path, config)
    asked = class_names.given(names or "")
    if asked and result and result.class_names and result.class_names != list(asked):
        own = class_names.few(result.class_names)
        raise UserError(f"{source} names its classes {own}; drop {class_names.FLAG}")
    return SavedModel(path, result, config, asked_range, asked_prepared, asked)


def newest_run(folder: Path = RUNS) -> Path:
    """Return the newest run in `folder` or one level deeper; raise `UserError` if there is none."""
    found = (*folder.glob(f"*/{RESULT}"), *folder.glob(f"*/*/{RESULT}"))
    results = [path for path in found if finished(path.parent) == path.parent]
    if not results:
        raise UserError(f"no run in {folder}/: give a model, or train one with: lenet-multi train")
    return max(results, key=lambda path: path.stat().st_mtime).parent
