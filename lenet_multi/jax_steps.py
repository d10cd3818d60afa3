"""Several training steps on JAX as one program."""

from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Any

import keras

Tensor = Any  # JAX's
State = tuple[list[Tensor], ...]
Logs = dict[str, Tensor]
Batch = tuple[Tensor, ...]  # images, labels; from `train_on_batch` their weights, or None

Program = Callable[[State, list[Batch], int], tuple[Logs, State]]
TrainFunction = Callable[[State, Iterator[Batch]], tuple[Logs, State]]


def jax_steps(model: keras.Model) -> Callable[..., None]:
    """Return a `make_train_function` for `model`, which is to be compiled.

    Keras 3 loops in Python over the steps of an execution, and starts each by itself. Here an
    execution's batches are laid one on the other, and XLA loops over them: a twentieth less time on
    a CPU.
    """

    def make_train_function(force: bool = False) -> None:
        if model.train_function is None or force:  # each `compile` wants another
            model.train_function = _train_function(_program(model), model.steps_per_execution)

    return make_train_function


def _program(model: keras.Model) -> Program:
    """Return what trains `model` on the first of some batches of one size, as many as it is told.

    It returns the metrics after the last of them, and the new state.
    """
    import jax

    def train_steps(state: State, batches: list[Batch], count: int) -> tuple[Logs, State]:
        laid = jax.tree.map(lambda *parts: jax.numpy.stack(parts), *batches)

        def batch(index: int) -> Batch:
            return jax.tree.map(lambda part: part[index], laid)  # type: ignore[no-any-return]

        def step(index: int, so_far: tuple[Logs, State]) -> tuple[Logs, State]:
            _, state = so_far
            logs, state = model.train_step(state, batch(index))
            return logs, state

        logs, _ = jax.eval_shape(model.train_step, state, batch(0))
        none_yet = jax.tree.map(jax.numpy.zeros_like, logs)
        done: tuple[Logs, State] = jax.lax.fori_loop(0, count, step, (none_yet, state))
        return done

    return jax.jit(train_steps, donate_argnums=0)  # type: ignore[no-any-return]


def _train_function(program: Program, steps: int) -> TrainFunction:
    """Return what trains on the next batches of an iterator, up to `steps`, by `program`."""
    import jax

    logs: Logs = {}

    def train_function(state: State, iterator: Iterator[Batch]) -> tuple[Logs, State]:
        nonlocal logs
        batches = list(islice(iterator, steps))
        if not batches:
            raise StopIteration  # as Keras expects it
        for _, alike in groupby(batches, lambda batch: len(batch[0])):
            group = list(alike)
            # Always as many, though the last are not trained on: one program for each size.
            padded = group + group[-1:] * (steps - len(group))
            # JAX would run 32 executions ahead, in as much memory, and a signal wait for them.
            jax.block_until_ready(logs)
            logs, state = program(state, padded, len(group))
        return logs, state

    return train_function
