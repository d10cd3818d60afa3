"""Find the task of a configuration: one of the package's, a user's `Task`, or a user's model."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from lenet_multi.config import MODELS_OWN, OWN_DEFAULTS, TASKS, TrainConfig, flag
from lenet_multi.errors import UserError, unknown
from lenet_multi.own import place
from lenet_multi.task import Task

KERAS_FILE = ".keras"


def find_task(config: TrainConfig) -> Task:
    """Return the task that `config` names; for a user's model, Keras must have been started.

    Raises `UserError` when there is none, or when it ignores a setting of `config`.
    """
    name = config.architecture
    task = _find(name)
    if isinstance(task, Task) and config.is_own and not task.reads_settings:
        for setting, default in OWN_DEFAULTS.items():
            value = getattr(config, setting)
            chosen = (default, getattr(TrainConfig, setting))
            if default == MODELS_OWN and value not in chosen:
                raise UserError(f"{flag(setting)} {value}: {name} is a Task with its own; drop it")
    return task


@cache  # a builder's task is one object, however often it is asked for
def _find(name: str) -> Task:
    if name in TASKS:
        module, _, attribute = TASKS[name].partition(":")
        return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
    if ":" not in name and not name.endswith(KERAS_FILE):
        raise UserError(unknown("model", name, TASKS))
    is_file = name.endswith(KERAS_FILE)
    found: Any = None if is_file else place.find(name)
    if isinstance(found, Task):
        return found
    if not is_file and not callable(found):
        kind = type(found).__name__
        raise UserError(f"{name} is of type {kind}; give a function that returns a Keras model")
    from lenet_multi.own import task as own  # it imports Keras

    return own.of_file(Path(name)) if is_file else own.of_builder(name, found)


def of_record(config: dict[str, Any], source: object) -> Task:
    """Return the package's task in the `config` of a run at `source`; `UserError` for others."""
    # A saved file must not choose a module to import.
    if (name := str(config.get("architecture"))) not in TASKS:
        raise UserError(
            f"{source} is of {name}, whose code a saved run may not start; give evaluate the flag "
            f"--model {name}; to predict or export, use keras.saving.load_model and model.export"
        )
    return _find(name)
