"""The task of a user's model: a builder, or a `.keras` file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import tree

from lenet_multi.backends.private import tensorflow_left_out
from lenet_multi.config import DRAWN, MODELS_OWN, OWN_DEFAULTS, TrainConfig
from lenet_multi.data.examples import Arrays, Dataset
from lenet_multi.errors import UserError, reason
from lenet_multi.own import builder, keras_file
from lenet_multi.own import data as own_data
from lenet_multi.own.user_code import user_code
from lenet_multi.task import Task

# What `compile` takes, and the setting that replaces each.
_COMPILED = {
    **{name: name for name in ("optimizer", "loss", "metrics")},
    "loss_weights": "loss",
    "weighted_metrics": "metrics",
}


def of_builder(name: str, function: Callable[..., Any]) -> Task:
    """Return the task of a user's builder, which is called `name`."""
    return _task(_Own(name, partial(builder.built, name, function)), draws=False)


def of_file(path: Path) -> Task:
    """Return the task of a saved model, which begins with the weights in its file."""
    return _task(_OfFile(path), draws=True)


def _task(own: "_Own", *, draws: bool) -> Task:
    return Task(
        name=own.name,
        load=own.load,
        build=own.build,
        loss=lambda config: own.compile_arguments(config)["loss"],
        compile_arguments=own.compile_arguments,
        draws=draws,
        reads_settings=True,
    )


class _Own:
    """A user's model: makes models, and remembers what the user compiled."""

    def __init__(self, name: str, make: Callable[[], keras.Model]) -> None:
        self.name, self._make = name, make
        self._seen: keras.Model | None = None
        self._settings: dict[str, Any] = {}  # those of `compile`, as Keras serialises them

    def load(self, config: TrainConfig) -> Dataset:
        model = self._seen or self.make()
        loss = self.compile_arguments(config)["loss"] if config.data == DRAWN else None
        return own_data.load(config, model, loss)

    def make(self) -> keras.Model:
        """Return a new model of the user's; the first one in a process has the user's names."""
        model = self._make()
        if self._seen is None:
            self._settings = self._settings_of(model)
            self._seen = model
        return model

    def _settings_of(self, model: keras.Model) -> dict[str, Any]:
        with tensorflow_left_out(), user_code(f"{self.name}: its compile settings"):
            return model.get_compile_config() or {} if model.compiled else {}

    def build(self, config: TrainConfig, dataset: Dataset) -> keras.Model:
        """Return a new model with all its variables."""
        model = self.make()
        if not model.built or not model.variables:
            _call(self.name, model, dataset.train[:2].x)
        if not model.trainable_weights:
            raise UserError(f"{self.name}: the model has no trainable weights; give one to train")
        return model

    def compile_arguments(self, config: TrainConfig) -> dict[str, Any]:
        """Return new objects for Keras's `compile`, from the settings or else from the model."""
        if self._seen is None:
            self.make()
        kept = {
            name: self._settings[name]
            for name, setting in _COMPILED.items()
            if self._settings.get(name) is not None and getattr(config, setting) == MODELS_OWN
        }
        arguments = self._compiled(kept)
        if config.loss != MODELS_OWN:
            arguments["loss"] = _named("loss", config.loss, keras.losses)
        if config.metrics != MODELS_OWN:
            names = config.metrics.split(",")
            arguments["metrics"] = [_named("metrics", one, keras.metrics) for one in names]
        if config.optimizer != MODELS_OWN:
            arguments["optimizer"] = _named("optimizer", config.optimizer, keras.optimizers)
        for wanted in ("loss", "optimizer"):
            if arguments.get(wanted) is None:
                raise UserError(
                    f"{self.name}: the model is not compiled; give --{wanted} with Keras's name, "
                    "or compile it"
                )
        if config.lr_schedule != OWN_DEFAULTS["lr_schedule"]:
            raise UserError(
                f"--lr-schedule {config.lr_schedule}: {self.name} has its own; drop it, or compile "
                "the model with a schedule"
            )
        if config.learning_rate != TrainConfig.learning_rate:
            try:
                arguments["optimizer"].learning_rate = config.learning_rate
            except TypeError as error:  # a number cannot take the place of a schedule
                raise UserError(
                    f"--learning-rate {config.learning_rate}: {self.name} is compiled with a "
                    "schedule; drop it, or give --optimizer too"
                ) from error
        return arguments

    def _compiled(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return new objects for Keras's serialised `settings`."""
        with tensorflow_left_out(), user_code(f"{self.name}: its compile settings"):
            return dict(keras.saving.deserialize_keras_object(settings))


class _OfFile(_Own):
    """A user's saved model: only names of Keras's are taken from what it was compiled with."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), partial(keras_file.load, path, trains=True))
        self._path = path

    def _settings_of(self, model: keras.Model) -> dict[str, Any]:
        return keras_file.compile_settings(self._path)

    def _compiled(self, settings: dict[str, Any]) -> dict[str, Any]:
        for name, setting in settings.items():
            if code := keras_file.code_in(setting):
                raise UserError(
                    f"{self.name} was compiled with code of its own for the {name} ({code}), which "
                    f"is not run; give --{_COMPILED[name]} with Keras's name, or the "
                    "FILE.py:FUNCTION that builds the model"
                )
        try:
            with tensorflow_left_out():
                found = dict(keras.saving.deserialize_keras_object(settings))
            if isinstance(loss := found.get("loss"), str):
                keras.losses.get(loss)
            if "optimizer" in found:  # older programs write its name
                found["optimizer"] = keras.optimizers.get(found["optimizer"])
            return found
        except Exception as error:  # Keras raises errors of any class on what it cannot read
            flags = " and ".join(
                f"--{name}" for name in sorted({_COMPILED[kind] for kind in settings})
            )
            raise UserError(
                f"{self.name}: Keras cannot read what it was compiled with: {reason(error)}; give "
                f"{flags} with Keras's names"
            ) from error


def _named(setting: str, name: str, known: Any) -> Any:
    try:
        found = known.get(name)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"--{setting} {name}: Keras has no such one; give a name from {known.__name__}"
        ) from error
    return found if setting == "optimizer" else name


def _call(name: str, model: keras.Model, x: Arrays) -> None:
    """Call a model that has no variables yet; raise `UserError` when inputs do not fit."""
    with user_code(f"{name}: its model, called with {own_data.shown(x)},"):
        model(tree.map_structure(keras.ops.convert_to_tensor, x))
