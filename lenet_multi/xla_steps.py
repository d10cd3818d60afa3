"""Several training steps as one program of XLA, on TensorFlow and JAX."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Any

import keras
import numpy as np
from keras import ops

from lenet_multi.batches import Batches

Tensor = Any  # the backend's own
Batch = tuple[Any, ...]  # images, labels; from `train_on_batch` their weights too, or None
Logs = dict[str, Tensor]
State = tuple[list[Tensor], ...]  # of JAX, to which Keras's variables are arguments
TrainFunction = Callable[..., Any]

# An execution waits behind the one under way. JAX would have 32 wait, in as much memory, and a
# signal for them.
_UNDER_WAY = 2


class XlaSteps:
    """A `make_train_function` for `model`, which is to be compiled.

    Keras 3 starts each step of an execution by itself. Here an execution's batches are laid one on
    the other, and XLA loops over them, each of them one call of Keras's own `train_step`: a tenth
    less time on TensorFlow, a twentieth on JAX. Images may come as `Batches` has them, or as bytes,
    which are a quarter to hand over, and are then scaled within, to the same bits.
    """

    def __init__(self, model: keras.Model, *, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size

    def __call__(self, force: bool = False) -> None:
        """Give the model its train function; each `compile` wants another."""
        if self.model.train_function is not None and not force:
            return
        if keras.backend.backend() == "jax":
            self.model.train_function = _on_jax(self.model)
        else:
            self.model.train_function = _on_tensorflow(self.model, self.batch_size)


def _on_jax(model: keras.Model) -> TrainFunction:
    import jax

    steps, scaled = model.steps_per_execution, scaling()

    def program(state: State, batches: list[Batch], count: int) -> tuple[Logs, State]:
        laid = _laid(batches, jax.numpy.stack)

        def step(state: State, index: int) -> tuple[Logs, State]:
            done: tuple[Logs, State] = model.train_step(state, scaled(_batch(laid, index)))
            return done

        logs, _ = jax.eval_shape(step, state, 0)
        none_yet = jax.tree.map(jax.numpy.zeros_like, logs)
        looped: tuple[Logs, State] = jax.lax.fori_loop(
            0, count, lambda index, so_far: step(so_far[1], index), (none_yet, state)
        )
        return looped

    compiled = jax.jit(program, donate_argnums=0)
    under_way: deque[Logs] = deque()

    def train_function(state: State, iterator: Iterator[Batch]) -> tuple[Logs, State]:
        for batches, count in _alike(iterator, steps):
            if len(under_way) == _UNDER_WAY:
                jax.block_until_ready(under_way.popleft())
            logs, state = compiled(state, batches, count)
            under_way.append(logs)
        return logs, state

    return train_function


def _on_tensorflow(model: keras.Model, batch_size: int) -> TrainFunction:
    """Return what trains on batches of `batch_size` images by XLA, on smaller ones without.

    XLA compiles anew for each number of images, for seconds.
    """
    import tensorflow as tf

    steps, scaled = model.steps_per_execution, scaling()

    def program(laid: Batch, count: Tensor) -> Logs:
        def step(index: Tensor) -> tuple[Tensor]:
            model.train_step(scaled(_batch(laid, index)))
            return (index + 1,)

        tf.while_loop(lambda index: index < count, step, (0,))
        logs: Logs = model.get_metrics_result()
        return logs

    compiled = tf.function(program, jit_compile=True, autograph=False)
    by_itself = tf.function(program, reduce_retracing=True, autograph=False)

    def train_function(iterator: Iterator[Batch]) -> Logs:
        for batches, count in _alike(iterator, steps):
            train = compiled if len(batches[0][0]) == batch_size else by_itself
            logs: Logs = train(_laid(batches, np.stack), tf.constant(count))
        return logs

    return train_function


def _alike(iterator: Iterator[Batch], steps: int) -> list[tuple[list[Batch], int]]:
    """Return the next batches, up to `steps`, those of one size together, and how many they are.

    There are always `steps`, though the last are not to be trained on: one program for each size.
    """
    batches = list(islice(iterator, steps))
    if not batches:
        raise StopIteration  # as Keras expects it
    found = []
    for _, alike in groupby(batches, lambda batch: len(batch[0])):
        group = list(alike)
        found.append((group + group[-1:] * (steps - len(group)), len(group)))
    return found


def _laid(batches: list[Batch], stack: Callable[[tuple[Any, ...]], Any]) -> Batch:
    """Lay batches one on the other, by `stack`."""
    return tuple(stack(part) for part in zip(*batches, strict=True) if part[0] is not None)


def _batch(laid: Batch, index: Tensor) -> Batch:
    return tuple(part[index] for part in laid)


def scaling() -> Callable[[Batch], Batch]:
    """Return what scales a batch's images where they are bytes.

    What a byte comes to is looked up: XLA's division rounds otherwise on a GPU, and by a constant.
    """
    table = Batches.table()

    def scaled(batch: Batch) -> Batch:
        images, *others = batch
        if images.dtype == np.uint8:
            images = ops.take(table, ops.cast(images, "int32"), axis=0)
        return images, *others

    return scaled
