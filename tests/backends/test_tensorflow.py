from typing import Any
from unittest.mock import Mock

import pytest

from lenet_multi.data.examples import Dataset
from lenet_multi.machine.keras_start import GPU
from tests.backends.models import WHOLE, compiled, trained

pytestmark = [pytest.mark.backend]


def test_xla_compiles_whole_batches_alone(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XLA computes whole batches; TensorFlow computes the smaller one, to avoid compile time."""
    if backend != "tensorflow":
        return
    import tensorflow as tf

    sizes: dict[bool, set[int]] = {True: set(), False: set()}
    function = tf.function

    def noted(program: Any, *, jit_compile: bool = False, **options: Any) -> Any:
        compute = function(program, jit_compile=jit_compile, **options)

        def call(laid: Any, *others: Any) -> Any:
            sizes[jit_compile].add(laid[0].shape[1])
            return compute(laid, *others)

        return call

    monkeypatch.setattr(tf, "function", noted)
    trained(compiled(small), small, WHOLE + 5)
    assert sizes == {True: {32}, False: {5}}


def test_a_loop_gets_what_is_stored(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model with an XLA loop gets bytes, on CPU and GPU; other models get what `feed` gives."""
    if backend != "tensorflow":
        return
    from lenet_multi.backends.stored import stored_feed
    from lenet_multi.backends.tensorflow import Training, feed, training_feed
    from lenet_multi.data.batches import Batches

    monkeypatch.setattr("lenet_multi.machine.keras_start.device", lambda: GPU)
    batches = Batches(small.train, batch_size=300)
    looped = training_feed(batches, Mock(spec=Training))
    assert type(looped).__name__ == type(stored_feed(batches)).__name__
    assert type(training_feed(batches, Mock())) is type(feed(batches))


def test_ragged_examples_train_through_stock_keras(backend: str) -> None:
    """In a block of `fast`, a model of ragged inputs trains, and the block says why it is stock."""
    if backend != "tensorflow":  # others have no ragged tensors
        return
    import keras
    import tensorflow as tf

    from lenet_multi.backends.fast import fast

    ragged = tf.ragged.constant([[1.0], [2.0, 3.0]] * 8)
    inputs = keras.Input((None,), ragged=True)
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs))
    model.compile("adam", loss=lambda y, y_pred: 0.0)
    with fast(model) as fit:
        model.fit(ragged, ragged, verbose=0)
    assert fit.why_stock == "its batches are ragged or sparse"
