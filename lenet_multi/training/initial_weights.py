"""The initial weights of somebody's model: its own initializers', the same on every backend.

Keras's initializers draw other numbers on each backend. So NumPy draws what an initializer that is
known here would draw. What is not known here is drawn once, in a child process on JAX (`python -m
lenet_multi.training.initial_weights TASK CONFIG FILE.npz`), whichever backend trains. What is no
matter of chance, as zeros, ones or weights that were trained before, stays.
"""

import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.backends.private import tensorflow_left_out
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.task import Task, find_task

Array = NDArray[Any]

_TRUNCATED = 0.87962566103423978  # the standard deviation of a normal one cut at two of its own


def build(task: Task, config: TrainConfig, dataset: Dataset) -> keras.Model:
    """Return the model of `task`, whatever chance decides in its weights drawn alike everywhere.

    Raises `UserError` when a weight can be drawn neither by NumPy nor in a child process.
    """
    model, other = (_built(task, config, dataset, seed) for seed in (config.seed, config.seed + 1))
    initializers = _initializers(model)
    generator = np.random.default_rng(config.seed)
    values, unknown = model.get_weights(), []
    for place, (one, two) in enumerate(zip(values, other.get_weights(), strict=True)):
        weight = model.weights[place]
        initializer = initializers.get(id(weight))
        if np.array_equal(one, two) and not _was_drawn(initializer, one):
            continue  # no matter of chance
        drawn = draw(initializer, one.shape, generator)
        if drawn is None:
            unknown.append(place)
        else:
            values[place] = drawn.astype(weight.dtype)
    if unknown:
        elsewhere = _drawn_in_a_child(task, config, model.weights[unknown[0]].path)
        for place in unknown:
            values[place] = elsewhere[place]
    model.set_weights(values)
    return model


def _was_drawn(initializer: Any, value: Array) -> bool:
    """Return whether a weight is what an initializer with a seed of its own has drawn."""
    if not isinstance(getattr(initializer, "seed", None), int):
        return False
    return np.array_equal(keras.ops.convert_to_numpy(initializer(value.shape, value.dtype)), value)


def _built(task: Task, config: TrainConfig, dataset: Dataset, seed: int) -> keras.Model:
    with tensorflow_left_out():  # which else is imported to be given a seed
        keras.utils.set_random_seed(seed)
    return task.build(config, dataset)


def _initializers(model: keras.Model) -> dict[int, Any]:
    """Return the initializer of each weight that a layer names one for, by the weight's id.

    Not of a kernel of several axes that is no convolution's: its layer counts what it takes in and
    gives out by an equation of its own.
    """
    found: dict[int, Any] = {}
    waiting = [model]
    while waiting:
        layer = waiting.pop()
        waiting.extend(getattr(layer, "layers", []))
        for weight in layer.weights:
            name = weight.name.removesuffix("_kernel") + "_initializer"
            own = getattr(layer, f"{weight.name}_initializer", getattr(layer, name, None))
            counts_itself = len(weight.shape) > 2 and not hasattr(layer, "kernel_size")
            if own is not None and not counts_itself:
                found[id(weight)] = own
    return found


def draw(initializer: Any, shape: tuple[int, ...], generator: np.random.Generator) -> Array | None:
    """Return what an `initializer` of Keras's draws for `shape`, by NumPy; None if it is unknown.

    The formulas are those of `keras/src/initializers/random_initializers.py`.
    """
    known = keras.initializers
    kind = type(initializer)
    if kind is known.RandomUniform:
        return generator.uniform(initializer.minval, initializer.maxval, shape)
    if kind is known.RandomNormal:
        return generator.normal(initializer.mean, initializer.stddev, shape)
    if kind is known.TruncatedNormal:
        cut: Array = initializer.mean + initializer.stddev * _cut_normal(generator, shape)
        return cut
    if not isinstance(initializer, known.VarianceScaling) or kind.__module__ != _RANDOM:
        return None
    variance = initializer.scale / max(1.0, _fan(initializer.mode, shape))
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return generator.uniform(-limit, limit, shape)
    if initializer.distribution == "truncated_normal":
        return math.sqrt(variance) / _TRUNCATED * _cut_normal(generator, shape)
    return generator.normal(0, math.sqrt(variance), shape)


_RANDOM = keras.initializers.VarianceScaling.__module__


def _fan(mode: str, shape: tuple[int, ...]) -> float:
    """Return how many values a weight takes in or gives out, or the mean of both."""
    *positions, fan_in, fan_out = shape if len(shape) > 1 else 2 * (shape or (1,))
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    return fans[mode] * math.prod(positions)


def _cut_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return standard normal numbers, those beyond 2 drawn again."""
    values = generator.standard_normal(shape)
    while (beyond := np.abs(values) > 2).any():
        values[beyond] = generator.standard_normal(int(beyond.sum()))
    return values


def _drawn_in_a_child(task: Task, config: TrainConfig, weight: str) -> list[Array]:
    """Return all weights as a process on JAX draws them."""
    if find_task(config.architecture) is not task:
        raise UserError(
            f"{task.name}: {weight} has an initializer that is not known here; name the task as "
            "--architecture package.module:NAME, so that another process can draw it"
        )
    settings = json.dumps(dataclasses.asdict(config))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.npz")
        command = [sys.executable, "-m", __name__, config.architecture, settings, str(path)]
        environ = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(
                f"{task.name}: {weight} has an initializer that is not known here, and the process "
                f"that was to draw it ended: {last}; give it one of Keras's own"
            )
        with np.load(path) as file:
            return [file[name] for name in file.files]


def _main(name: str, settings: str, path: str) -> None:
    config = TrainConfig(**json.loads(settings))
    task = find_task(name)
    model = _built(task, config, task.load(config), config.seed)
    np.savez(path, *model.get_weights())


if __name__ == "__main__":
    _main(*sys.argv[1:])
