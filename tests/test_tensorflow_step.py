from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.backend]


def test_only_whole_batches_are_compiled(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA gets batches of the full size, and never another, for which it would compile anew."""
    if backend != "tensorflow":
        return
    import tensorflow as tf

    from lenet_multi.tensorflow_step import TensorFlowStep

    class Model:
        def train_step(self, batch: tuple[Any, Any]) -> dict[str, Any]:
            return {"images": tf.shape(batch[0])[0]}

    def marked(step: Any, *, jit_compile: bool) -> Any:
        assert jit_compile
        return lambda batch: {"images": -step(batch)["images"]}

    monkeypatch.setattr(tf, "function", marked)
    step = TensorFlowStep(Model(), batch_size=4)
    assert [int(step((tf.zeros((size, 2)), None))["images"]) for size in (4, 3, 1)] == [-4, 3, 1]


@pytest.mark.parametrize("count", [4, 3], ids=["compiled", "not compiled"])
def test_bytes_are_scaled_to_the_bit(backend: str, count: int) -> None:
    """What a step trains on are NumPy's images, whether it gets those or their bytes."""
    if backend != "tensorflow":
        return
    import tensorflow as tf

    from lenet_multi.batches import Batches
    from lenet_multi.data import ImageSet
    from lenet_multi.tensorflow_step import TensorFlowStep

    class Model:
        def train_step(self, batch: tuple[Any, Any]) -> dict[str, Any]:
            return {"images": tf.identity(batch[0]), "labels": batch[1]}

    pixels = np.resize(np.arange(256, dtype=np.uint8), (count, 16, 16, 1))  # all there are
    labels = np.arange(count, dtype=np.uint8)
    images, _ = Batches(ImageSet(pixels, labels), batch_size=count)[0]
    step = tf.function(TensorFlowStep(Model(), batch_size=4))
    for given in (pixels, images):
        found = step((tf.constant(given), tf.constant(labels)))
        np.testing.assert_array_equal(found["images"], images)
        assert found["images"].dtype == tf.float32
        np.testing.assert_array_equal(found["labels"], labels)
