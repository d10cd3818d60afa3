"""Open a saved model, from a run folder or a `.keras` file, and refuse one that carries code."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.own import keras_file
from lenet_multi.own.find import find_task, of_record
from lenet_multi.runs.folder import RUNS, finished
from lenet_multi.runs.record import MODEL, RESULT, Result, file_sha256, read_result
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class SavedModel:
    """A `.keras` file: its path, the record of its run if any, and its model's configuration."""

    path: Path
    result: Result | None = None
    config: Any = None

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
    def task(self) -> Task:
        """The task of its run, or the default task; raises `UserError` when it is not our own."""
        if not self.result:
            return find_task(TrainConfig())
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
        model = keras_file.model_of(self.path, self.config)
        if why := self.task.misfit(model):
            raise UserError(f"{self.path} {why}; use another model")
        return model


def find(source: Path, *, with_code: bool = False) -> SavedModel:
    """Open a run folder or `.keras` file without Keras; raise `UserError` if it is unusable.

    A model of anyone's own code is usable `with_code` alone: when the user names the code.
    """
    if not source.exists():
        raise UserError(f"no model at {source}: give a run folder or a .keras file")
    result = read_result(source / RESULT) if source.is_dir() else None
    path = source / MODEL if result else source
    if result and file_sha256(path) != result.files_sha256[MODEL]:
        raise UserError(
            f"{path} has another hash than {RESULT} records: it is damaged or of another run; "
            "train again"
        )
    if result and not with_code:
        of_record(result.config, path)
    config = keras_file.read_config(path)
    if not with_code:
        keras_file.refuse_code(path, config)
    return SavedModel(path, result, config)


def newest_run(folder: Path = RUNS) -> Path:
    """Return the newest run in `folder` or one level deeper; raise `UserError` if there is none."""
    found = (*folder.glob(f"*/{RESULT}"), *folder.glob(f"*/*/{RESULT}"))
    results = [path for path in found if finished(path.parent) == path.parent]
    if not results:
        raise UserError(f"no run in {folder}/: give a model, or train one with: lenet-multi train")
    return max(results, key=lambda path: path.stat().st_mtime).parent
