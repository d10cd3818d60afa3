"""The task of a user's model: a builder, or a `.keras` file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import tree

from lenet_multi.backends.private import tensorflow_left_out
from lenet_multi.config import DRAWN, MODELS_OWN, TrainConfig
from lenet_multi.data.examples import Arrays, Dataset
from lenet_multi.errors import UserError
from lenet_multi.own import builder, keras_file
from lenet_multi.own import data as own_data
from lenet_multi.own.user_code import user_code
from lenet_multi.task import Task

_COMPILED = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")


def of_builder(name: str, function: Callable[..., Any]) -> Task:
    """Return the task of a user's builder, which is called `name`."""
    return _task(name, partial(builder.built, name, function), draws=False)


def of_file(path: Path) -> Task:
    """Return the task of a saved model, which begins with the weights in its file."""
    return _task(str(path), partial(keras_file.load, path, compiled=True), draws=True)


def _task(name: str, make: Callable[[], keras.Model], *, draws: bool) -> Task:
    own = _Own(name, make)
    return Task(
        name=name,
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
            with tensorflow_left_out(), user_code(f"{self.name}: its compile settings"):
                self._settings = model.get_compile_config() or {} if model.compiled else {}
            self._seen = model
        return model

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
        with tensorflow_left_out(), user_code(f"{self.name}: its compile settings"):
            found: dict[str, Any] = keras.saving.deserialize_keras_object(self._settings)
        arguments = {name: found[name] for name in _COMPILED if found.get(name) is not None}
        if config.loss != MODELS_OWN:
            arguments["loss"] = _named("loss", config.loss, keras.losses.get)
            arguments.pop("loss_weights", None)
        if config.metrics != MODELS_OWN:
            names = config.metrics.split(",")
            arguments["metrics"] = [_named("metrics", one, keras.metrics.get) for one in names]
            arguments.pop("weighted_metrics", None)
        if config.optimizer != MODELS_OWN:
            arguments["optimizer"] = _named("optimizer", config.optimizer, keras.optimizers.get)
        for wanted in ("loss", "optimizer"):
            if arguments.get(wanted) is None:
                raise UserError(
                    f"{self.name}: the model is not compiled; give --{wanted} with Keras's name, "
                    "or compile it"
                )
        if config.learning_rate != TrainConfig.learning_rate:
            arguments["optimizer"].learning_rate = config.learning_rate
        return arguments


def _named(setting: str, name: str, get: Callable[[str], Any]) -> Any:
    try:
        get(name)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"--{setting} {name}: Keras has no such one; give a name from keras.{setting}"
        ) from error
    return get(name) if setting == "optimizer" else name


def _call(name: str, model: keras.Model, x: Arrays) -> None:
    """Call a model that has no variables yet; raise `UserError` when inputs do not fit."""
    with user_code(f"{name}: its model, called with {own_data.shown(x)},"):
        model(tree.map_structure(keras.ops.convert_to_tensor, x))
