"""The initial weights of any model: from its own initializers, the same on every backend.

Keras's initializers draw different numbers on each backend. So NumPy draws for initializers that
`draw` knows. A child process on JAX draws for the others, whichever backend trains (`write`).
Weights that do not depend on the seed, such as zeros, ones or pretrained ones, stay.
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

from lenet_multi.backends.layers import layers
from lenet_multi.backends.private import tensorflow_left_out
from lenet_multi.backends.variables import path_of
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError, reason_in
from lenet_multi.own.find import find_task
from lenet_multi.task import Task

Array = NDArray[Any]

_TRUNCATED = 0.87962566103423978  # standard deviation of a standard normal cut at 2


def build(task: Task, config: TrainConfig, dataset: Dataset) -> keras.Model:
    """Return the model of `task`, its random weights drawn alike on every backend.

    Raises `UserError` when neither NumPy nor a child process can draw a weight.
    """
    model, values = drawn(task, config, dataset)
    model.set_weights(values)
    return model


def drawn(task: Task, config: TrainConfig, dataset: Dataset) -> tuple[keras.Model, list[Array]]:
    """Return a model of `task` and its initial weights, drawn alike on every backend.

    Raises `UserError` when neither NumPy nor a child process can draw a weight, or when the builder
    makes another model each time.
    """
    if task.draws:
        model = task.build(config, dataset)
        return model, model.get_weights()
    model, other = (built(task, config, dataset, seed) for seed in (config.seed, config.seed + 1))
    _refuse_another(task, model, other)
    initializers = _initializers(model)
    generator = np.random.default_rng(config.seed)
    values, unknown = model.get_weights(), []
    for place, (one, two) in enumerate(zip(values, other.get_weights(), strict=True)):
        weight = model.weights[place]
        initializer = initializers.get(id(weight))
        if np.array_equal(one, two) and not _was_drawn(initializer, one):
            continue  # not random
        drawn = draw(initializer, one.shape, generator)
        if drawn is None:
            unknown.append(place)
        else:
            values[place] = drawn.astype(weight.dtype)
    if unknown:
        elsewhere = _drawn_in_a_child(task, config, model.weights[unknown[0]].path)
        for place in unknown:
            values[place] = elsewhere[place]
    return model, values


def _refuse_another(task: Task, model: keras.Model, other: keras.Model) -> None:
    """Raise `UserError` unless two models have weights of the same names, shapes and types."""
    one, two = (
        [(path_of(w), tuple(w.shape), w.dtype) for w in built.weights] for built in (model, other)
    )
    if one != two:
        first = next((pair for pair in zip(one, two, strict=False) if pair[0] != pair[1]), None)
        words = " and ".join(f"{name} {shape}" for name, shape, _ in first) if first else ""
        words = words or f"{len(one)} and {len(two)} weights"
        raise UserError(f"{task.name} builds another model each time ({words}); build the same one")


def _was_drawn(initializer: Any, value: Array) -> bool:
    """Return whether an initializer with its own seed drew the weight `value`."""
    if not isinstance(getattr(initializer, "seed", None), int):
        return False
    return np.array_equal(keras.ops.convert_to_numpy(initializer(value.shape, value.dtype)), value)


def built(task: Task, config: TrainConfig, dataset: Dataset, seed: int) -> keras.Model:
    """Return a model of `task`; layers without a seed of their own draw from `seed`."""
    with tensorflow_left_out():  # else Keras imports it to seed it
        keras.utils.set_random_seed(seed % 2**32)  # NumPy's generator takes no larger one
    return task.build(config, dataset)


def _initializers(model: keras.Model) -> dict[int, Any]:
    """Return each initializer that a layer names for a weight, by the weight's id."""
    found: dict[int, Any] = {}
    for layer in layers(model):
        for weight in layer.weights:
            names = [weight.name, weight.name.removesuffix("_kernel")]
            if hasattr(layer, "depthwise_initializer"):
                names.append("depthwise")  # for a weight that is called only "kernel"
            given = (getattr(layer, f"{name}_initializer", None) for name in names)
            own = next((one for one in given if one is not None), None)
            if isinstance(layer, keras.layers.EinsumDense) and hasattr(own, "input_axes"):
                own = _with_axes(own, layer.equation)
            if own is not None:
                found[id(weight)] = own
    return found


def _with_axes(initializer: Any, equation: str) -> Any:
    """Return `initializer`, told which axes of its kernel an equation sums over (EinsumDense)."""
    inputs, _, rest = equation.partition(",")
    kernel = rest.partition("->")[0].strip()
    axes = range(len(kernel))
    summed = [axis for axis in axes if kernel[axis] in inputs]
    others = [axis for axis in axes if axis not in summed]
    config = {**initializer.get_config(), "input_axes": summed, "output_axes": others}
    return type(initializer).from_config(config)


def draw(initializer: Any, shape: tuple[int, ...], generator: np.random.Generator) -> Array | None:
    """Draw as Keras's `initializer` would, but by NumPy; return None if it is unknown.

    The formulas are from `keras/src/initializers/random_initializers.py`.
    """
    known = keras.initializers
    scaling, kind = known.VarianceScaling, type(initializer)
    if kind is known.RandomUniform:
        return generator.uniform(initializer.minval, initializer.maxval, shape)
    if kind is known.RandomNormal:
        return generator.normal(initializer.mean, initializer.stddev, shape)
    if kind is known.TruncatedNormal:
        cut: Array = initializer.mean + initializer.stddev * _cut_normal(generator, shape)
        return cut
    if kind is known.Orthogonal:
        orthogonal: Array = initializer.gain * _orthogonal(generator, shape)
        return orthogonal
    if not isinstance(initializer, scaling) or kind.__module__ != scaling.__module__:
        return None
    variance = initializer.scale / max(1.0, _fan(initializer, shape))
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return generator.uniform(-limit, limit, shape)
    if initializer.distribution == "truncated_normal":
        return math.sqrt(variance) / _TRUNCATED * _cut_normal(generator, shape)
    return generator.normal(0, math.sqrt(variance), shape)


def _fan(initializer: Any, shape: tuple[int, ...]) -> float:
    """Return fan-in, fan-out or their mean, as the initializer's mode says."""
    into, out_of = (getattr(initializer, f"{side}_axes", None) for side in ("input", "output"))
    if into is not None and out_of is not None:  # `EinsumDense` says which axes it sums over
        fan_in, fan_out = (math.prod(shape[axis] for axis in axes) for axes in (into, out_of))
    else:
        *positions, rows, columns = shape if len(shape) > 1 else 2 * (shape or (1,))
        fan_in, fan_out = (side * math.prod(positions) for side in (rows, columns))
    fans: dict[str, float] = {
        "fan_in": fan_in,
        "fan_out": fan_out,
        "fan_avg": (fan_in + fan_out) / 2,
    }
    return fans[initializer.mode]


def _orthogonal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return a matrix with orthogonal rows or columns, in `shape`."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    normal = generator.standard_normal((max(rows, columns), min(rows, columns)))
    orthogonal, upper = np.linalg.qr(normal)
    orthogonal = orthogonal * np.sign(np.diag(upper))
    return (orthogonal.T if rows < columns else orthogonal).reshape(shape)


def _cut_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return standard normal numbers; those beyond 2 are drawn again."""
    values = generator.standard_normal(shape)
    while (beyond := np.abs(values) > 2).any():
        values[beyond] = generator.standard_normal(int(beyond.sum()))
    return values


def _drawn_in_a_child(task: Task, config: TrainConfig, weight: str) -> list[Array]:
    if find_task(config) is not task:
        raise UserError(
            f"{task.name}: {weight} has an unknown initializer; give the task as --architecture "
            "package.module:NAME, so that a process on JAX can draw it"
        )
    settings = json.dumps(dataclasses.asdict(config))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.npz")
        command = [sys.executable, "-c", _WRITE, settings, str(path)]
        environ = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(  # a library may print any bytes
            command, env=environ, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            why = reason_in(done.stderr) or "it said nothing"
            raise UserError(
                f"{task.name}: {weight} has an unknown initializer, and drawing it on JAX failed "
                f"({why}); give it one of Keras's own"
            )
        with np.load(path) as file:
            return [file[name] for name in file.files]


_WRITE = (
    "import sys; from lenet_multi.machine import keras_start; keras_start.start('jax');"
    f"from {__name__} import write; write(*sys.argv[1:])"
)


def write(settings: str, path: str) -> None:
    """Write the initial weights of a task to `path`; `settings` is its config as JSON."""
    config = TrainConfig(**json.loads(settings))
    task = find_task(config)
    model = built(task, config, task.load(config), config.seed)
    np.savez(path, *model.get_weights())
