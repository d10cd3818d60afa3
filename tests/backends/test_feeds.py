import numpy as np
import pytest

from lenet_multi.data.examples import Dataset
from lenet_multi.machine import keras_start
from lenet_multi.machine.keras_start import CPU, GPU

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def test_on_a_gpu_jax_makes_its_training_batches_there(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are what `feed` gives; TensorFlow gets bytes there as on a CPU."""
    if backend == "torch":
        return
    from lenet_multi.backends.feeds import feed, feed_bytes

    from lenet_multi.data.batches import Batches

    monkeypatch.setattr(keras_start, "device", lambda: GPU)
    batches = Batches(small.train, batch_size=300)
    assert (type(feed_bytes(batches)) is type(feed(batches))) == (backend == "jax")


@pytest.mark.parametrize("skipped", [0, 1], ids=["from the start", "gone on with"])
def test_keras_may_be_fed_the_bytes(
    backend: str, small: Dataset, skipped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pixels as they are stored, in each epoch's order, for a step that scales them."""
    from lenet_multi.backends.feeds import feed_bytes

    from lenet_multi.data.batches import Batches

    monkeypatch.setattr("lenet_multi.data.batches._AT_A_TIME", 600)  # some times, and a rest
    batches = Batches(small.train, batch_size=300)
    batches.skipped = skipped
    fed = feed_bytes(batches)
    for epoch in (0, 3):
        batches.set_epoch(epoch, seed=1)
        pairs = list(fed.get_tf_dataset() if backend == "tensorflow" else fed.get_jax_iterator())
        assert len(pairs) == fed.num_batches == 4 - skipped
        for index, (images, labels) in enumerate(pairs, start=skipped):
            chosen = batches.order[300 * index : 300 * (index + 1)]
            np.testing.assert_array_equal(images, small.train.x[chosen])
            assert images.dtype == np.uint8
            np.testing.assert_array_equal(labels, small.train.y[chosen])


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("skipped", [0, 1], ids=["from the start", "gone on with"])
@pytest.mark.parametrize(
    "batch_size", [32, 100, 1024], ids=["many and a rest", "no rest", "a rest alone"]
)
@pytest.mark.parametrize("classes", [None, 10], ids=["labels", "one-hot"])
def test_a_backend_is_fed_the_batches_bit_for_bit(
    small: Dataset,
    classes: int | None,
    batch_size: int,
    skipped: int,
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What reaches the backend are NumPy's batches to the bit, and in each epoch's order.

    What is fed to a GPU is made by the backend, here on whatever it computes on.
    """
    import keras
    from lenet_multi.backends.feeds import feed

    from lenet_multi.data.batches import Batches

    batches = Batches(small.train, batch_size=batch_size, classes=classes)
    batches.skipped = skipped
    monkeypatch.setattr(keras_start, "device", lambda: device)
    monkeypatch.setattr("lenet_multi.data.batches._AT_A_TIME", 320)  # some times
    fed = feed(batches)
    for epoch in (0, 3):
        batches.set_epoch(epoch, seed=1)
        pairs = list(fed)
        assert len(pairs) == len(batches) == -(-1000 // batch_size) - skipped
        for index, pair in enumerate(pairs):
            for found, wanted in zip(pair, batches[index], strict=True):
                found = keras.ops.convert_to_numpy(found)
                np.testing.assert_array_equal(found, wanted)
                assert found.dtype == wanted.dtype
