"""TensorFlow: XLA compiles several steps into one loop over stored bytes; Adam is one kernel."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import keras
import numpy as np
from keras import tree

from lenet_multi.backends import devices
from lenet_multi.backends.mixin import Mixin
from lenet_multi.backends.selfcheck import SelfCheck
from lenet_multi.backends.stored import (
    Feed,
    alike,
    first_of,
    laid,
    one_of,
    padded,
    shapes,
    stored_feed,
)
from lenet_multi.backends.unfit import LOOPS_OVER_A_CONVOLUTION, UnfitError
from lenet_multi.backends.variables import State, set_state, state_of
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import changed
from lenet_multi.machine.keras_start import CPU, device

Tensor = Any  # TensorFlow's
Logs = dict[str, Tensor]

CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2d")  # and their gradients


def feed(batches: Batches) -> Feed:
    """Return a pipeline that takes stored examples from Python and prepares them.

    Keras hands over each batch through a queue between threads; an epoch takes a quarter longer.
    Here Python hands over several batches at a time, and TensorFlow splits and prepares them. It
    copies only these, so no example is held twice.
    """
    import tensorflow as tf

    if tf.distribute.has_strategy():  # several devices
        return devices.engine("tensorflow").feed(batches)

    def signature(array: Any) -> Any:
        return tf.TensorSpec((None, None, *array.shape[1:]), array.dtype)

    def one_by_one(*some: Tensor) -> Any:
        return tf.data.Dataset.from_tensor_slices(some)

    def prepare(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return batches.prepare(x), *rest

    sides = batches.examples.sides
    pipeline = tf.data.Dataset.from_generator(
        lambda: (tuple(some)[: len(sides)] for some in batches.stored()),
        output_signature=tuple(changed(signature, side) for side in sides),
    )
    pipeline = pipeline.flat_map(one_by_one).map(prepare).prefetch(2)
    pipeline = pipeline.apply(tf.data.experimental.assert_cardinality(len(batches)))
    options = tf.data.Options()
    # The tuner's clean-up at an epoch's end can sleep as long as the epoch took (TensorFlow 2.21;
    # in stock `fit` too).
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return pipeline.with_options(options)


def training_feed(batches: Batches, model: keras.Model) -> Feed:
    """Return stored batches if `model` prepares them in XLA's loop, else `feed`."""
    return stored_feed(batches) if isinstance(model, Training) else feed(batches)


def update_by_adam(optimizer: Any, updates: Sequence[tuple[Any, ...]], rate: Tensor) -> None:
    """Update weights by TensorFlow's kernel."""
    import tensorflow as tf

    dtype = keras.backend.standardize_dtype(updates[0][1].dtype)
    # The kernel computes 1 - beta in the weights' precision; so does our correction.
    beta_1, beta_2 = (np.dtype(dtype).type(beta) for beta in (optimizer.beta_1, optimizer.beta_2))
    rate = optimizer.corrected(rate, dtype, float(beta_1), float(beta_2))
    for gradient, weight, mean, square in updates:
        # Keras's `apply` passes TensorFlow's own variable.
        variable = weight.value if isinstance(weight, keras.Variable) else weight
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=mean.value.handle,
            v=square.value.handle,
            beta1_power=tf.zeros((), dtype),  # only our correction
            beta2_power=tf.zeros((), dtype),
            lr=rate,
            beta1=tf.constant(beta_1),
            beta2=tf.constant(beta_2),
            epsilon=tf.constant(optimizer.epsilon, dtype),
            grad=gradient,
        )


class Training(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model that trains on several batches in one XLA program.

    Keras 3 compiles one step by XLA and loops over an execution's steps in TensorFlow. Here XLA
    loops over an execution's stacked batches and calls Keras's `train_step`: 6 to 8 % less time.
    """

    train_function: Any

    def make_train_function(self, force: bool = False) -> None:
        """Make the train function; XLA only for whole batches: each size compiles for seconds."""
        if self.train_function is not None and not force:
            return
        import tensorflow as tf

        fast, steps = self.fast, self.steps_per_execution
        step_of = keras.Model.train_step, keras.Model.compute_metrics
        logs_are_metrics = step_of == (fast.stock.train_step, fast.stock.compute_metrics)
        whole: list[Any] = []  # the shapes that XLA compiled for

        def train_steps(batches: Any, count: Tensor, prepares: bool) -> Logs:
            def train(index: Tensor) -> Logs:
                logs: Logs = self.train_step(
                    one_of(batches, index, fast.prepare if prepares else None)
                )
                return logs

            def step(index: Tensor, *so_far: Logs) -> tuple[Any, ...]:
                logs = train(index)
                return (index + 1, *([] if logs_are_metrics else [logs]))

            none_yet = [] if logs_are_metrics else [_zeros_like_results(train)]
            _, *logs = tf.while_loop(lambda index, *_: index < count, step, (0, *none_yet))
            return logs[0] if logs else self.get_metrics_result()  # type: ignore[no-any-return]

        compiled = tf.function(train_steps, jit_compile=True, autograph=False)
        without_xla = tf.function(train_steps, reduce_retracing=True, autograph=False)

        def train_function(iterator: Iterator[Any]) -> Logs:
            for batches, prepares in alike(_without_optionals(iterator), steps):
                count, train, of = len(batches), without_xla, shapes(batches[0])
                is_whole = fast.batch_size in (None, len(first_of(batches[0])))
                if is_whole and of == (whole or [of])[0]:
                    whole[:] = [of]
                    train, batches = compiled, padded(batches, steps)
                # Handing over NumPy arrays would take a third of a millisecond longer.
                given = laid(batches, lambda some: tf.constant(np.stack(some)))
                arguments = (given, tf.constant(count), prepares)
                if fast.is_watched:
                    fast.is_watched = False  # later batches differ only in shapes
                    if why := _why_unfit(compiled, arguments, stock_is_xla=self.jit_compile):
                        raise UnfitError(why)
                logs: Logs = train(*arguments)
            return logs

        self.train_function = train_function


def is_dense(leaf: Any) -> bool:
    """Return whether a part of a batch is absent or an array with all its entries."""
    import tensorflow as tf

    return leaf is None or isinstance(leaf, np.ndarray | tf.Tensor)


def trained(
    model: keras.Model, train_function: Any, state: State, batches: Sequence[Any]
) -> tuple[Logs, State]:
    """Return the logs and the state after `train_function` trained on `batches` from `state`."""
    set_state(model, state)
    steps = model.steps_per_execution
    for begin in range(0, len(batches), steps):
        logs: Logs = train_function(iter(batches[begin : begin + steps]))
    return logs, state_of(model)


def checking(model: keras.Model, check: SelfCheck) -> Any:
    """Return a train function that checks its first steps, and goes on as they come out."""

    def train_function(iterator: Iterator[Any]) -> Logs:
        if check.is_open:
            batches: Sequence[Any] = list(
                islice(_without_optionals(iterator), model.steps_per_execution)
            )
            if not batches:
                raise StopIteration  # Keras expects it
            # Keras makes the variables in the first step; other backends have them already.
            if check.steps or check.can_make_variables(batches[0]):
                logs, _, batches = check.train(state_of(model), batches)
                if not batches:
                    return logs
            iterator = iter(batches)
        done: Logs = check.chosen(iterator)
        return done

    return train_function


def _why_unfit(function: Any, arguments: tuple[Any, ...], *, stock_is_xla: bool) -> str | None:
    """Return why a function of TensorFlow's should not train in XLA's loop."""
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = chain(graph.node, *(inner.node_def for inner in graph.library.function))
    operations = {node.op for node in nodes}
    if device() == CPU and any(name.startswith(CONVOLUTIONS) for name in operations):
        return LOOPS_OVER_A_CONVOLUTION
    if not stock_is_xla and any(name.startswith("StatelessRandom") for name in operations):
        return "XLA draws other random numbers than TensorFlow, for dropout for example"
    return None


def _zeros_like_results(compute: Any) -> Any:
    """Return zeros with the shapes and dtypes of what `compute` returns for 0."""
    import tensorflow as tf

    traced = tf.function(compute, autograph=False).get_concrete_function(tf.constant(0))
    return tf.nest.map_structure(
        lambda result: tf.zeros(result.shape, result.dtype), traced.structured_outputs
    )


def _without_optionals(iterator: Iterator[Any]) -> Iterator[Any]:
    """Return `iterator`, with None for what is absent: TensorFlow's pipelines hold no None."""
    import tensorflow as tf

    specs = tf.nest.flatten(getattr(iterator, "element_spec", ()))
    if not any(isinstance(spec, tf.OptionalSpec) for spec in specs):
        return iterator

    def value(leaf: Any) -> Any:
        return None if isinstance(leaf, tf.experimental.Optional) else leaf

    return (tree.map_structure(value, batch) for batch in iterator)
