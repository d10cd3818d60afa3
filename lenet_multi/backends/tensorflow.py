"""TensorFlow: XLA compiles several steps into one loop over stored bytes; Adam is one kernel."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from lenet_multi.backends.stored import Feed, alike, laid, one_of, padded, stored_feed
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import changed, parts

Tensor = Any  # TensorFlow's


def feed(batches: Batches) -> Feed:
    """Return a pipeline that takes stored examples from Python and prepares them.

    Keras hands over each batch through a queue between threads; an epoch takes a quarter longer.
    Here Python hands over several batches at a time, and TensorFlow splits and prepares them. It
    copies only these, so no example is held twice.
    """
    import tensorflow as tf

    def signature(array: Any) -> Any:
        return tf.TensorSpec((None, None, *array.shape[1:]), array.dtype)

    def one_by_one(x: Tensor, y: Tensor) -> Any:
        return tf.data.Dataset.from_tensor_slices((x, y))

    def prepare(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return batches.prepare(x), y

    pipeline = tf.data.Dataset.from_generator(
        lambda: map(tuple, batches.stored()),
        output_signature=tuple(
            changed(signature, side) for side in (batches.examples.x, batches.examples.y)
        ),
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


class Training(keras.Model):  # type: ignore[misc]  # Keras carries no types
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

        def train_steps(batches: Any, count: Tensor, prepares: bool) -> dict[str, Tensor]:
            def step(index: Tensor) -> tuple[Tensor]:
                self.train_step(one_of(batches, index, fast.prepare if prepares else None))
                return (index + 1,)

            tf.while_loop(lambda index: index < count, step, (0,))
            logs: dict[str, Tensor] = self.get_metrics_result()
            return logs

        compiled = tf.function(train_steps, jit_compile=True, autograph=False)
        without_xla = tf.function(train_steps, reduce_retracing=True, autograph=False)

        def train_function(iterator: Iterator[Any]) -> dict[str, Tensor]:
            for batches, prepares in alike(iterator, steps):
                count, train = len(batches), without_xla
                if len(parts(batches[0][0])[0]) == fast.batch_size:
                    train, batches = compiled, padded(batches, steps)
                # Handing over NumPy arrays would take a third of a millisecond longer.
                given = laid(batches, lambda some: tf.constant(np.stack(some)))
                logs: dict[str, Tensor] = train(given, tf.constant(count), prepares)
            return logs

        self.train_function = train_function
