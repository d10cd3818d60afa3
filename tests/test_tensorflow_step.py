from typing import Any

import pytest

pytestmark = [pytest.mark.backend]


def test_only_whole_batches_are_compiled(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA gets batches of the full size, and never another, for which it would compile anew."""
    if backend != "tensorflow":
        return
    import tensorflow as tf

    from lenet_multi.tensorflow_step import tensorflow_step

    class Model:
        def train_step(self, batch: tuple[Any, Any]) -> dict[str, Any]:
            return {"images": tf.shape(batch[0])[0]}

    def marked(step: Any, *, jit_compile: bool) -> Any:
        assert jit_compile
        return lambda batch: {"images": -step(batch)["images"]}

    monkeypatch.setattr(tf, "function", marked)
    step = tensorflow_step(Model(), batch_size=4)
    assert [int(step((tf.zeros((size, 2)), None))["images"]) for size in (4, 3, 1)] == [-4, 3, 1]
