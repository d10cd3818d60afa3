"""Several training steps as one program of XLA, on TensorFlow and JAX."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import Any

import keras
import numpy as np

from lenet_multi.data.batches import Batches

Tensor = Any  # the backend's own
Batch = tuple[Any, ...]  # images, labels; from `train_on_batch` their weights too, or None
Logs = dict[str, Tensor]
State = tuple[list[Tensor], ...]  # of JAX, to which Keras's variables are arguments
TrainFunction = Callable[..., Any]

# An execution waits behind the one under way. JAX would queue 32 of them: their batches take
# memory, and a signal would wait until all are done.
_UNDER_WAY = 2


class XlaSteps:
    """A `make_train_function` for `model`, which is to be compiled.

    Keras 3 has XLA compile one step, and has Python on JAX and TensorFlow there loop over an
    execution's steps. Here an execution's batches are laid one on the other, and XLA loops over
    them; a step is a call of Keras's own `train_step`. That takes 6 to 8 % less time on TensorFlow,
    a twentieth on JAX.
    """

    def __init__(self, model: keras.Model, *, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size
        self.scales_bytes = False

    @contextmanager
    def scaling_bytes(self) -> Iterator[None]:
        """Within the block, take bytes for pixels, and scale them as `Batches` does, to the bit.

        They are a quarter of what floats are to hand over. Elsewhere they are numbers like others.
        """
        self.scales_bytes = True
        try:
            yield
        finally:
            self.scales_bytes = False

    def __call__(self, force: bool = False) -> None:
        """Give the model its train function; each `compile` wants another."""
        if self.model.train_function is not None and not force:
            return
        if keras.backend.backend() == "jax":
            self.model.train_function = _on_jax(self)
        else:
            self.model.train_function = _on_tensorflow(self)


def _on_jax(xla_steps: XlaSteps) -> TrainFunction:
    import jax

    model, steps = xla_steps.model, xla_steps.model.steps_per_execution

    def train_steps(
        state: State, batches: Batch | list[Batch], count: int, scales_bytes: bool
    ) -> tuple[Logs, State]:
        laid = _laid(batches, jax.numpy.stack) if isinstance(batches, list) else batches

        def step(state: State, index: int) -> tuple[Logs, State]:
            done: tuple[Logs, State] = model.train_step(state, _batch(laid, index, scales_bytes))
            return done

        logs, _ = jax.eval_shape(step, state, 0)
        none_yet = jax.tree.map(jax.numpy.zeros_like, logs)
        looped: tuple[Logs, State] = jax.lax.fori_loop(
            0, count, lambda index, so_far: step(so_far[1], index), (none_yet, state)
        )
        return looped

    compiled = jax.jit(train_steps, donate_argnums=0, static_argnums=3)
    under_way: deque[Logs] = deque()

    def train_function(state: State, iterator: Iterator[Batch]) -> tuple[Logs, State]:
        for batches in _alike(iterator, steps):
            if len(under_way) == _UNDER_WAY:
                jax.block_until_ready(under_way.popleft())
            padded = _padded(batches, steps)
            on_host = isinstance(batches[0][0], np.ndarray)  # and not made on a GPU
            given = _laid(padded, np.stack) if on_host else padded
            logs, state = compiled(state, given, len(batches), xla_steps.scales_bytes)
            under_way.append(logs)
        return logs, state

    return train_function


def _on_tensorflow(xla_steps: XlaSteps) -> TrainFunction:
    """Return what trains on whole batches by XLA, on others without.

    XLA compiles anew for each number of images, for seconds.
    """
    import tensorflow as tf

    model, steps = xla_steps.model, xla_steps.model.steps_per_execution

    def train_steps(laid: Batch, count: Tensor, scales_bytes: bool) -> Logs:
        def step(index: Tensor) -> tuple[Tensor]:
            model.train_step(_batch(laid, index, scales_bytes))
            return (index + 1,)

        tf.while_loop(lambda index: index < count, step, (0,))
        logs: Logs = model.get_metrics_result()
        return logs

    compiled = tf.function(train_steps, jit_compile=True, autograph=False)
    by_itself = tf.function(train_steps, reduce_retracing=True, autograph=False)

    def train_function(iterator: Iterator[Batch]) -> Logs:
        for batches in _alike(iterator, steps):
            count = len(batches)
            if len(batches[0][0]) == xla_steps.batch_size:
                train, batches = compiled, _padded(batches, steps)
            else:
                train = by_itself
            # NumPy's arrays take a third of a millisecond longer to hand over.
            laid = _laid(batches, lambda parts: tf.constant(np.stack(parts)))
            logs: Logs = train(laid, tf.constant(count), xla_steps.scales_bytes)
        return logs

    return train_function


def _alike(iterator: Iterator[Batch], steps: int) -> list[list[Batch]]:
    """Return the next batches, up to `steps`, those of one size together."""
    batches = list(islice(iterator, steps))
    if not batches:
        raise StopIteration  # as Keras expects it
    return [list(alike) for _, alike in groupby(batches, lambda batch: len(batch[0]))]


def _padded(batches: list[Batch], steps: int) -> list[Batch]:
    """Return `steps` batches, the last of them not to be trained on: one program for each size."""
    return batches + batches[-1:] * (steps - len(batches))


def _laid(batches: Sequence[Batch], stack: Callable[[tuple[Any, ...]], Any]) -> Batch:
    """Lay batches one on the other, by `stack`."""
    return tuple(stack(part) for part in zip(*batches, strict=True) if part[0] is not None)


def _batch(laid: Batch, index: Tensor, scales_bytes: bool) -> Batch:
    batch = tuple(part[index] for part in laid)
    return scaled(batch) if scales_bytes else batch


def scaled(batch: Batch) -> Batch:
    """Return `batch`, its images scaled where they are bytes."""
    images, *others = batch
    if images.dtype == np.uint8:
        images = Batches.scaled(images)
    return images, *others
