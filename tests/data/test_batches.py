import numpy as np
import pytest

from lenet_multi.data.examples import Dataset, epoch_order
from lenet_multi.lenet.pixels import scaled
from lenet_multi.lenet.tasks import LENET

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def test_an_epochs_batches_hold_every_image_once_in_its_order(small: Dataset) -> None:
    """An epoch's batches keep its order and the smaller last batch; inputs become [0, 1]."""
    from lenet_multi.data.batches import Batches

    batches = Batches(small.train, batch_size=128, prepare=scaled)
    batches.set_epoch(2, seed=5)
    pairs = [batches[index] for index in range(len(batches))]
    order = epoch_order(1000, seed=5, epoch=2)
    labels = np.concatenate([labels for _, labels in pairs])
    images = np.concatenate([images for images, _ in pairs])
    np.testing.assert_array_equal(labels, small.train.y[order])
    np.testing.assert_array_equal(images, small.train.x[order] / np.float32(255))
    assert images.dtype == np.float32
    assert [len(labels) for _, labels in pairs] == [128] * 7 + [104]


@pytest.mark.parametrize("skipped", [0, 2], ids=["from the start", "gone on with"])
def test_what_is_stored_comes_in_the_same_batches(
    small: Dataset, skipped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored batches come several together, as bytes; prepared they equal the batches.

    The smaller last batch comes alone.
    """
    from lenet_multi.data import batches as module
    from lenet_multi.data.batches import Batches

    monkeypatch.setattr(module, "_AT_A_TIME", 300)
    batches = Batches(small.train, batch_size=128, prepare=scaled)
    batches.set_epoch(1, seed=5)
    batches.skipped = skipped
    stored = list(batches.stored())
    sizes = [some.x.shape[:2] for some in stored]
    assert sizes == [(2, 128)] * ((7 - skipped) // 2) + [(1, 128)] + [(1, 104)]
    assert {some.x.dtype for some in stored} == {np.dtype(np.uint8)}
    one_by_one = [pair for some in stored for pair in zip(some.x, some.y, strict=True)]
    assert len(one_by_one) == len(batches)
    for index, (x, y) in enumerate(one_by_one):
        wanted_x, wanted_y = batches[index]
        np.testing.assert_array_equal(scaled(x), wanted_x)
        np.testing.assert_array_equal(y, wanted_y)


def test_keras_sees_the_batches_as_ordered(small: Dataset) -> None:
    """In every epoch the training step gets the examples in NumPy's order.

    The loss is each label, so the model learns nothing, and Keras reports the running mean label.
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
    fitted = fit(model, LENET, small.train, small.test, config)
    wanted: list[float] = []
    for epoch in range(3):
        labels = small.train.y[epoch_order(1000, seed=7, epoch=epoch)]
        wanted.extend(np.cumsum(labels.reshape(-1, 100).sum(axis=1, dtype=np.int64)))
    np.testing.assert_allclose(seen, wanted, rtol=1e-4)
    assert len(fitted.epochs) == 3
