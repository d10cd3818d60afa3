"""JAX: XLA compiles several steps into one loop over stored bytes, and Adam into one kernel."""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import keras
import numpy as np

from lenet_multi.backends import devices
from lenet_multi.backends.mixin import Mixin
from lenet_multi.backends.selfcheck import SelfCheck
from lenet_multi.backends.stored import Feed, alike, first_of, laid, one_of, padded, stored_feed
from lenet_multi.backends.unfit import LOOPS_OVER_A_CONVOLUTION, UnfitError
from lenet_multi.backends.variables import State, state_groups
from lenet_multi.backends.variables import set_state as set_state
from lenet_multi.backends.variables import state_of as state_of
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import Examples, Prepare, changed
from lenet_multi.machine.keras_start import GPU, device

Tensor = Any  # JAX's
Logs = dict[str, Tensor]
Values = tuple[list[Tensor], ...]  # of the model's variables; arguments of JAX's functions

# One execution runs and one waits. JAX would queue 32: their batches take memory, and a signal
# would wait for all of them.
_UNDER_WAY = 2


def feed(batches: Batches) -> Feed:
    """Return `batches` as they are; on a GPU, gather them there from all stored examples."""
    return _OnGpu(batches) if device() == GPU else batches


def training_feed(batches: Batches, model: keras.Model) -> Feed:
    """Return stored batches if `model` prepares them in XLA's loop, else `feed`."""
    looped = isinstance(model, Training) and device() != GPU
    return stored_feed(batches) if looped else feed(batches)


def update_by_adam(optimizer: Any, updates: Sequence[tuple[Any, ...]], rate: Tensor) -> None:
    """Update weights by Keras's formula."""
    optimizer.by_formula(updates, rate)


class Training(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model that trains on several batches in one XLA program.

    Keras 3 compiles one step by XLA and loops over an execution's steps in Python. Here XLA loops
    over an execution's stacked batches and calls Keras's `train_step`: a twentieth less time.
    """

    train_function: Any

    def make_train_function(self, force: bool = False) -> None:
        """Make the function that trains on an execution's batches, those of one size together."""
        if self.train_function is not None and not force:
            return
        import jax

        fast, steps = self.fast, self.steps_per_execution

        def train_steps(
            values: Values, batches: Any, count: int, prepares: bool, stacked: bool
        ) -> tuple[Logs, Values]:
            if not stacked:
                batches = laid(batches, jax.numpy.stack)
            prepare = fast.prepare if prepares else None

            def step(values: Values, index: int) -> tuple[Logs, Values]:
                done: tuple[Logs, Values] = self.train_step(values, one_of(batches, index, prepare))
                return done

            logs, _ = jax.eval_shape(step, values, 0)
            none_yet = jax.tree.map(jax.numpy.zeros_like, logs)
            looped: tuple[Logs, Values] = jax.lax.fori_loop(
                0, count, lambda index, so_far: step(so_far[1], index), (none_yet, values)
            )
            return looped

        shared = devices.engine("jax") if fast.devices > 1 else None
        compiled = jax.jit(
            train_steps,
            donate_argnums=0,
            static_argnums=(3, 4),
            out_shardings=shared.everywhere() if shared else None,
        )
        under_way: deque[Logs] = deque()

        def train_function(values: Values, iterator: Iterator[Any]) -> tuple[Logs, Values]:
            for batches, prepares in alike(iterator, steps):
                if len(under_way) == _UNDER_WAY:
                    jax.block_until_ready(under_way.popleft())
                given: Any = padded(batches, steps)
                if stacked := isinstance(first_of(batches[0]), np.ndarray):
                    given = laid(given, np.stack)
                    if shared:
                        given = shared.placed(given, axis=1)
                arguments = (values, given, len(batches), prepares, stacked)
                if fast.is_watched:
                    fast.is_watched = False  # later batches differ only in shapes
                    if device() != GPU and _convolves(compiled, arguments):
                        raise UnfitError(LOOPS_OVER_A_CONVOLUTION)
                logs, values = compiled(*arguments)
                under_way.append(logs)
            return logs, values

        self.train_function = train_function


def _convolves(compiled: Any, arguments: tuple[Any, ...]) -> bool:
    """Return whether a function compiled by JAX holds a convolution."""
    return "conv_general_dilated" in str(compiled.trace(*arguments).jaxpr)


def is_dense(leaf: Any) -> bool:
    """Return whether a part of a batch is absent or an array with all its entries."""
    import jax

    return leaf is None or isinstance(leaf, np.ndarray | jax.Array)


def trained(
    model: keras.Model, train_function: Any, state: State, batches: Sequence[Any]
) -> tuple[Logs, State]:
    """Return the logs and the state after `train_function` trained on `batches` from `state`."""
    values = _grouped(model, state)
    steps = model.steps_per_execution
    for begin in range(0, len(batches), steps):
        logs, values = train_function(values, iter(batches[begin : begin + steps]))
    return logs, [np.array(value) for value in chain(*values)]


def checking(model: keras.Model, check: SelfCheck) -> Any:
    """Return a train function that checks its first steps, and goes on as they come out."""

    def train_function(values: Values, iterator: Iterator[Any]) -> tuple[Logs, Values]:
        if check.is_open:
            batches = list(islice(iterator, model.steps_per_execution))
            if not batches:
                raise StopIteration  # Keras expects it
            state = [np.array(value) for value in chain(*values)]
            logs, state, left = check.train(state, batches)
            values = _grouped(model, state)
            if not left:
                return logs, values
            iterator = iter(left)
        done: tuple[Logs, Values] = check.chosen(values, iterator)
        return done

    return train_function


def _grouped(model: keras.Model, state: State) -> Values:
    """Return copies of the values of `state` on JAX, which a train function may take over."""
    import jax

    values = map(jax.numpy.array, state)
    return tuple([next(values) for _ in group] for group in state_groups(model))


class _OnGpu(keras.utils.PyDataset):  # type: ignore[misc]  # Keras carries no types
    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches
        self.sent: Examples | None = None
        self.sides: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        import jax

        if self.sent is not self.batches.examples:  # another epoch may have others
            self.sent = self.batches.examples
            self.sides = jax.device_put(self.sent.sides)
        return _taken(self.batches.prepare)(self.sides, self.batches.chosen(index))


@functools.cache  # compiled once
def _taken(prepare: Prepare) -> Callable[..., tuple[Tensor, ...]]:
    import jax

    @jax.jit  # type: ignore[untyped-decorator]
    def taken(sides: tuple[Tensor, ...], chosen: Tensor) -> tuple[Tensor, ...]:
        x, *rest = (changed(lambda array: array[chosen], side) for side in sides)
        return prepare(x), *rest

    return taken  # type: ignore[no-any-return]
