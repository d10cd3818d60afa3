from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.examples import Dataset, epoch_order

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def test_an_epochs_batches_hold_every_image_once_in_its_order(small: Dataset) -> None:
    """The last, smaller batch is kept; pixels are scaled to [0, 1] as float32."""
    from lenet_multi.data.batches import Batches

    batches = Batches(small.train, batch_size=128)
    batches.set_epoch(2, seed=5)
    pairs = [batches[index] for index in range(len(batches))]
    order = epoch_order(1000, seed=5, epoch=2)
    labels = np.concatenate([labels for _, labels in pairs])
    images = np.concatenate([images for images, _ in pairs])
    np.testing.assert_array_equal(labels, small.train.y[order])
    np.testing.assert_array_equal(images, small.train.x[order] / np.float32(255))
    assert images.dtype == np.float32
    assert [len(labels) for _, labels in pairs] == [128] * 7 + [104]


@pytest.mark.parametrize("how", ["by itself", "as a graph", "by XLA"])
def test_tensors_are_scaled_to_the_bits_of_numpy(backend: str, how: str) -> None:
    """Each byte comes to what NumPy divides it to, also where a compiler makes its own of that.

    XLA multiplies by a reciprocal where it is told to divide.
    """
    import keras

    from lenet_multi.data.batches import Batches
    from lenet_multi.data.examples import Examples

    pixels = np.resize(np.arange(256, dtype=np.uint8), (1, 16, 16, 1))  # all there are
    images, _ = Batches(Examples(pixels, np.zeros(1, np.uint8)), batch_size=1)[0]
    scaled = compiled(backend, Batches.scaled, how)
    found = keras.ops.convert_to_numpy(scaled(keras.ops.convert_to_tensor(pixels)))
    np.testing.assert_array_equal(found, images)
    assert found.dtype == np.float32


def compiled(backend: str, function: Callable[..., Any], how: str) -> Callable[..., Any]:
    """Return `function` as training on the backend computes it, by itself where it does not so."""
    match backend, how:
        case "jax", "by XLA":
            import jax

            return jax.jit(function)  # type: ignore[no-any-return]
        case "tensorflow", "as a graph" | "by XLA":
            import tensorflow as tf

            return tf.function(function, jit_compile=how == "by XLA")  # type: ignore[no-any-return]
        case _:
            return function


def test_labels_are_one_hot_where_asked(small: Dataset) -> None:
    """Categorical cross-entropy gets rows with a single 1."""
    from lenet_multi.data.batches import Batches

    _, one_hot = Batches(small.test, batch_size=500, classes=10)[0]
    np.testing.assert_array_equal(one_hot.argmax(axis=1), small.test.y)
    np.testing.assert_array_equal(one_hot.sum(axis=1), 1)


def test_keras_sees_the_batches_as_ordered(small: Dataset) -> None:
    """What reaches the training step, epoch after epoch, is the order drawn by NumPy.

    A model without weights to speak of learns nothing and reports each batch's mean label.
    """
    import keras

    from lenet_multi.config import TrainConfig
    from lenet_multi.training.fit import fit

    seen: list[float] = []

    class Spy(keras.losses.Loss):  # type: ignore[misc]  # Keras carries no types
        def call(self, y_true: object, y_pred: object) -> object:
            return keras.ops.cast(y_true, "float32") + 0 * keras.ops.sum(y_pred)

    class Note(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            seen.append(float((logs or {})["loss"]) * 100 * (batch + 1))

    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=Spy(), metrics=["accuracy"])
    original_fit = model.fit
    model.fit = lambda *args, callbacks, **options: original_fit(
        *args, callbacks=[*callbacks.callbacks, Note()], **options
    )
    config = TrainConfig(epochs=3, batch_size=100, seed=7)
    fitted = fit(model, small.train, small.test, config)
    wanted: list[float] = []
    for epoch in range(3):
        labels = small.train.y[epoch_order(1000, seed=7, epoch=epoch)]
        wanted.extend(np.cumsum(labels.reshape(-1, 100).sum(axis=1, dtype=np.int64)))
    np.testing.assert_allclose(seen, wanted, rtol=1e-4)
    assert len(fitted.epochs) == 3
