"""TensorFlow: `tf.distribute.MirroredStrategy`, a replica on each device of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from keras import tree

from lenet_multi.backends import private
from lenet_multi.backends.devices import draws, refuse_more
from lenet_multi.backends.mixin import Mixin
from lenet_multi.backends.stored import Feed
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import changed
from lenet_multi.machine import ranks

Logs = dict[str, Any]


@contextmanager
def scope(count: int) -> Iterator[None]:
    """Mirror the variables that the block makes on the first `count` devices."""
    import tensorflow as tf

    if strategy := ranks.strategy():
        reduced = _reducing(strategy)
        with strategy.scope(), draws.shared(), private.replaced(private.REDUCE, reduced):
            yield
        return
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    refuse_more(count, names)
    add_up = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None
    strategy = tf.distribute.MirroredStrategy(names[:count], cross_device_ops=add_up)
    with strategy.scope(), draws.shared():
        yield


def feed(batches: Batches) -> Feed:
    """Return prepared batches, cut for the devices; with each part its first row, size and total.

    A device without a row of a small last batch gets the first row, which does not count: some of
    TensorFlow's operations fail on an empty batch.
    """
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    count, sides = strategy.num_replicas_in_sync, batches.examples.sides
    here = count // ranks.count()  # the devices of this process

    def signature(array: Any) -> Any:
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    def parts() -> Iterator[tuple[Any, ...]]:
        for index in range(len(batches)):
            chosen, first = batches.chosen(index), 0
            for device, rows in enumerate(np.array_split(chosen, count)):
                held = rows if len(rows) else chosen[:1]
                take = partial(np.take, indices=held, axis=0)
                if device // here == ranks.rank():
                    part = np.array([first, len(rows), len(chosen)])
                    yield tuple(changed(take, side) for side in sides), part
                first += len(rows)

    def prepare(batch: Any, part: Any) -> Any:
        return (batches.prepare(batch[0]), *batch[1:]), part

    def pipeline(context: Any) -> Any:
        """Return the parts one after the other; each replica takes its own in turn."""
        signatures = tuple(changed(signature, side) for side in sides)
        dataset = tf.data.Dataset.from_generator(
            parts, output_signature=(signatures, tf.TensorSpec((3,), tf.int64))
        )
        dataset = dataset.map(prepare).prefetch(2 * count)
        options = tf.data.Options()
        options.autotune.enabled = False  # see `backends.tensorflow.feed`
        options.threading.private_threadpool_size = 1
        return dataset.with_options(options)

    class Adapter(private.find(private.DATA_ADAPTER)):  # type: ignore[misc]  # made at run time
        """Tells Keras the number of batches; TensorFlow tells that of parts."""

        @property
        def num_batches(self) -> int:
            return len(batches)

        def get_tf_dataset(self) -> Feed:
            return strategy.distribute_datasets_from_function(pipeline)

    return Adapter()


class Shared(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model whose devices each compute their part of a batch, as one device computes the whole.

    Keras adds up the gradients of all parts, each divided by the number of devices: right only for
    equal parts. Here the loss of a part counts by its rows.
    """

    def compile(self, *given: Any, **named: Any) -> None:
        """Compile the model; its optimizer weighs the loss of a part."""
        super().compile(*given, **named)
        _weigh(self.optimizer)

    def train_step(self, data: Any) -> Logs:
        """Train on this device's part of a batch."""
        batch, part = _parted(data)
        with draws.taking(part), _counting(self, part), _averaging(self, part):
            logs: Logs = super().train_step(batch)
        return logs

    def test_step(self, data: Any) -> Logs:
        """Evaluate this device's part of a batch."""
        batch, part = _parted(data)
        with _counting(self, part):
            logs: Logs = super().test_step(batch)
        return logs

    def predict_step(self, data: Any) -> Any:
        """Predict this device's part of a batch."""
        batch, part = _parted(data)
        return tree.map_structure(lambda one: one[: part.counted], super().predict_step(batch))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Do nothing: Keras's takes a mean of the parts, which fails on unequal ones."""


def _reducing(strategy: Any) -> Any:
    """Return Keras's function that reduces values of replicas, mended for several processes.

    Keras's takes the mean over an axis that a number does not have (keras#20585), and puts the
    parts of processes with several devices in another order.
    """
    import tensorflow as tf

    def reduced(values: Any, of: Any, reduction: str) -> Any:
        if reduction == "concat":
            return tf.nest.map_structure(lambda one: strategy.gather(one, axis=0), values)
        return tf.nest.map_structure(lambda one: strategy.reduce("MEAN", one, axis=None), values)

    return reduced


def _parted(data: Any) -> tuple[Any, draws.Part]:
    import tensorflow as tf

    batch, numbers = data
    first, counted, total = (tf.cast(numbers[index], tf.int32) for index in range(3))
    first, size = tf.minimum(first, total - 1), tf.maximum(counted, 1)  # one row may not count
    count = tf.distribute.get_strategy().num_replicas_in_sync
    return batch, draws.Part(first, size, total, count, counted)


@contextmanager
def _counting(model: Any, part: draws.Part) -> Iterator[None]:
    """Leave the metrics as they were before the block, if the device's part has no row."""
    import tensorflow as tf

    before = [(variable, tf.identity(variable.value)) for variable in model.metrics_variables]
    yield
    for variable, old in before:
        variable.assign(tf.where(part.counted > 0, variable.value, old))


@contextmanager
def _averaging(model: Any, part: draws.Part) -> Iterator[None]:
    """Let moving means count by the rows of the devices; TensorFlow would keep the first's."""
    import tensorflow as tf

    moving = [v for v in model.non_trainable_variables if v.value.dtype.is_floating]
    before = [tf.identity(variable.value) for variable in moving]
    yield
    context = tf.distribute.get_replica_context()
    for variable, old in zip(moving, before, strict=True):
        share = tf.cast(part.counted, old.dtype) / tf.cast(part.total, old.dtype)
        variable.assign(old + context.all_reduce("SUM", share * (variable.value - old)))


def _weigh(optimizer: Any) -> None:
    """Make Keras's `scale_loss`, which a step calls, weigh the loss of a part by its rows."""
    scale = optimizer.scale_loss

    def weighed(loss: Any) -> Any:
        import tensorflow as tf

        part = draws.current()
        assert part
        share = tf.cast(part.counted * part.count, loss.dtype) / tf.cast(part.total, loss.dtype)
        return scale(loss * share)

    optimizer.scale_loss = weighed
