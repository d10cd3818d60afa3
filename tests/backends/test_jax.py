from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from lenet_multi.data.examples import Dataset, as_stored
from lenet_multi.machine.keras_start import GPU
from tests.backends.models import WHOLE, compiled, trained

pytestmark = [pytest.mark.backend]


def test_on_a_gpu_training_batches_are_made_there(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, JAX trains on the batches of `feed`; on a CPU, XLA's loop gets bytes."""
    if backend != "jax":
        return
    from lenet_multi.backends import jax
    from lenet_multi.data.batches import Batches

    batches = Batches(small.train, batch_size=300)
    looped = Mock(spec=jax.Training)
    assert type(jax.training_feed(batches, looped)) is not type(jax.feed(batches))
    assert jax.training_feed(batches, Mock()) is jax.feed(batches) is batches
    monkeypatch.setattr(jax, "device", lambda: GPU)
    assert type(jax.training_feed(batches, looped)) is type(jax.feed(batches))


def test_batches_made_on_a_gpu_train_to_the_same_bits(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that JAX makes on the GPU train to the same bits as NumPy's bytes."""
    if backend != "jax":
        return
    from lenet_multi.backends import jax
    from lenet_multi.training.setup import weights_sha256

    from_bytes, from_there = compiled(small), compiled(small)
    wanted = trained(from_bytes, small, WHOLE + 5)
    monkeypatch.setattr(jax, "device", lambda: GPU)
    assert trained(from_there, small, WHOLE + 5) == wanted
    assert weights_sha256(from_there) == weights_sha256(from_bytes)


def test_no_batch_ends_the_epoch(backend: str) -> None:
    """When batches run out, training ends as in Keras: only before a step, with StopIteration."""
    if backend != "jax":
        return
    import jax

    from lenet_multi.backends.jax import Training

    class Sum(Training):
        def train_step(self, state: Any, batch: Any) -> Any:
            return {"sum": batch[0].sum()}, state + batch[0].sum()

    model = Sum()
    model.fast = SimpleNamespace(prepare=as_stored, is_watched=False, devices=1)
    model.steps_per_execution, model.train_function = 3, None
    model.make_train_function()
    train = model.train_function
    batches = iter([(np.full(2, number),) for number in range(1, 5)])
    logs, state = train(jax.numpy.zeros((), int), batches)
    assert (logs["sum"], state) == (6, 12)
    logs, state = train(state, batches)
    assert (logs["sum"], state) == (8, 20)
    with pytest.raises(StopIteration):
        train(state, batches)
    model.make_train_function()
    assert model.train_function is train
    model.make_train_function(force=True)
    assert model.train_function is not train
