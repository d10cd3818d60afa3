"""Evaluate a saved model of a user's own with the code that the user names.

A saved run may come from a stranger, so the code that it names is not started. The user's code
builds the model and compiles it, and only the weights are read from the file.
"""

import dataclasses
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lenet_multi.config import DRAWN, TASKS, TrainConfig, with_settings
from lenet_multi.data.class_names import matched
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError, reason
from lenet_multi.inference.evaluate import Evaluation, evaluate
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine import keras_start
from lenet_multi.own.find import find_task
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras


def evaluate_saved(saved: SavedModel, code: str, source: str | None, *, backend: str) -> Evaluation:
    """Import Keras on `backend`; return the evaluation of `saved` as a model of `code`.

    `code` is a user's FILE.py:FUNCTION, package.module:FUNCTION or .keras file. `source` is a
    `--data` of `train` (default: the run's, if its code is in the file or module of `code`); where
    it names classes, they are matched to the run's. Loss and metrics are those of the run's
    settings. Raises `UserError` when the code, the data, the classes or the weights do not fit, or
    the backend cannot compute the model.
    """
    config = _settings(saved, code, source)
    keras_start.start(backend, dtype_policy=config.dtype_policy)
    from lenet_multi.inference.predict import computing

    task = find_task(config)
    dataset = task.load(config)
    if saved.result and source is None and dataset.sha256() != saved.result.data_sha256:
        raise UserError(
            f"{config.data} is not the data that the run was trained on; put that data back, or "
            "give --data"
        )
    model = _model(saved, task, config, dataset)
    test, names = dataset.test, dataset.class_names
    notes = dataset.notes
    if task.classifies and saved.class_names and names:
        classes = model.output_shape[-1]
        labels, names, said = matched(test.y, names, saved.class_names, classes, config.data)
        notes += said
        test = replace(test, y=labels)
    with computing(saved.path):
        return replace(evaluate(model, task, test), class_names=names, notes=notes)


def _settings(saved: SavedModel, code: str, source: str | None) -> TrainConfig:
    """Return the run's settings with the user's `code` and data."""
    asked = {"architecture": code} | ({"data": source} if source else {})
    config = with_settings(TrainConfig(), asked)
    if not config.is_own:
        raise UserError(f"--model {code} is no code of your own; give FILE.py:FUNCTION, or drop it")
    if not saved.result:
        if not source:
            raise UserError(f"{saved.path} is of no run, which would name its data; give --data")
        return config
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    recorded = {name: value for name, value in saved.result.config.items() if name in known}
    if (own := recorded.get("architecture")) in TASKS:
        raise UserError(f"{saved.path} is of {own}, not of {code}; drop --model")
    config = TrainConfig(**{**recorded, **asked})
    if not source and is_foreign(config.data, code):
        raise UserError(
            f"{saved.path} was trained on {config.data}, code that a saved run may not start; "
            f"give --data {config.data}"
        )
    return config


def is_foreign(source: str, code: str) -> bool:
    """Return whether data come of code in another file or module than the user named."""
    is_code = source != DRAWN and not source.endswith(".npz")
    return is_code and source.rpartition(":")[0] != code.rpartition(":")[0]


def _model(saved: SavedModel, task: Task, config: TrainConfig, dataset: Dataset) -> "keras.Model":
    """Return the model of the user's code with the weights of the file, compiled to evaluate."""
    from lenet_multi.training.setup import weights_sha256

    model = task.build(config, dataset)
    found = task.compile_arguments(config) if task.compile_arguments else {}
    measured = {"loss": task.loss(config), "metrics": list(task.metrics)} | found
    model.compile(**{**measured, "optimizer": None})  # that of the run is not read
    try:
        model.load_weights(saved.path)
    except Exception as error:  # Keras raises errors of any class on weights that do not fit
        raise UserError(
            f"{saved.path} does not fit the model of {config.architecture}: {reason(error)}; give "
            "the code that it was trained with"
        ) from error
    # Keras passes over layers that a file lacks.
    if saved.result and weights_sha256(model) != saved.result.final_weights_sha256:
        raise UserError(
            f"{saved.path} has other weights than the model of {config.architecture}; give the "
            "code that it was trained with"
        )
    return model


def as_json(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as `--json` prints it."""
    return {
        "test_examples": len(found.test),
        "test_loss": found.loss,
        "test_metrics": found.metrics,
    }
