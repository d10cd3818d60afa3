"""Tests for every backend: batches equal to the bit; on TensorFlow and JAX the XLA loop too."""

from typing import Any

import numpy as np
import pytest

from lenet_multi import backends
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.lenet.pixels import scaled
from lenet_multi.machine.keras_start import CPU, GPU
from tests.backends.models import ROUNDED, STEPS, WHOLE, compiled, trained


def test_a_backends_module_has_its_name() -> None:
    """It is the module of that name in the package's folder of backends."""
    from lenet_multi.backends import choice

    assert backends.module("choice") is choice


@pytest.mark.backend
@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("skipped", [0, 1], ids=["from the start", "gone on with"])
@pytest.mark.parametrize(
    "batch_size", [32, 100, 1024], ids=["many and a rest", "no rest", "a rest alone"]
)
@pytest.mark.parametrize("one_hot", [False, True], ids=["labels", "one-hot"])
def test_a_backend_is_fed_the_batches_bit_for_bit(
    backend: str,
    small: Dataset,
    one_hot: bool,
    batch_size: int,
    skipped: int,
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The backend gets NumPy's batches to the bit, in each epoch's order, of its examples.

    For a GPU the backend makes the batches. Here it makes them on the device it has.
    """
    import keras

    from lenet_multi.data.batches import Batches

    targets = np.eye(10, dtype=np.float32)[small.train.y] if one_hot else small.train.y
    examples = Examples(small.train.x, targets)
    batches = Batches(examples, batch_size=batch_size, prepare=scaled)
    batches.skipped = skipped
    module = backends.module(backend)
    monkeypatch.setattr(module, "device", lambda: device, raising=False)
    monkeypatch.setattr("lenet_multi.data.batches._AT_A_TIME", 320)  # several times
    fed = module.feed(batches)
    for epoch in (0, 3):
        batches.set_epoch(epoch, seed=1)
        batches.examples = Examples(255 - small.train.x, targets) if epoch else examples
        pairs = list(fed)
        assert len(pairs) == len(batches) == -(-1000 // batch_size) - skipped
        for index, pair in enumerate(pairs):
            for found, wanted in zip(pair, batches[index], strict=True):
                found = keras.ops.convert_to_numpy(found)
                np.testing.assert_array_equal(found, wanted)
                assert found.dtype == wanted.dtype


@pytest.mark.backend
@pytest.mark.parametrize("device", [CPU, GPU])
def test_several_inputs_and_targets_are_fed_bit_for_bit(
    backend: str, small: Dataset, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several inputs by name and targets by place arrive to the bit, each with its own dtype."""
    import keras

    from lenet_multi.data.batches import Batches

    kinds = small.train.y.astype(np.int32)
    both = Examples({"images": small.train.x, "kinds": kinds}, (small.train.y, kinds / 2))
    batches = Batches(both, batch_size=300)
    module = backends.module(backend)
    monkeypatch.setattr(module, "device", lambda: device, raising=False)
    pairs = list(module.feed(batches))
    assert len(pairs) == len(batches) == 4
    for index, (x, y) in enumerate(pairs):
        wanted = batches[index]
        assert list(x) == ["images", "kinds"]
        assert len(y) == 2
        for found, part in zip([*x.values(), *y], [*wanted[0].values(), *wanted[1]], strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), part)


@pytest.mark.backend
@pytest.mark.parametrize("rest", [0, 5], ids=["whole batches", "and a smaller one"])
def test_a_loop_of_xla_trains_to_the_same_bits(backend: str, small: Dataset, rest: int) -> None:
    """Weights, and each epoch's loss and accuracy, equal those of Keras's loop over steps.

    Keras's loop gets floats, ours gets bytes. On TensorFlow, XLA does not compute the smaller
    batch, so that batch rounds differently.
    """
    if backend == "torch":
        return
    from lenet_multi.training.setup import weights_sha256

    keras_, ours = (
        compiled(small, xla_loops=xla_loops, architecture="lenet") for xla_loops in (False, True)
    )
    found, wanted = (trained(model, small, WHOLE + rest) for model in (ours, keras_))
    steps = 2 * (STEPS + bool(rest))
    assert int(ours.optimizer.iterations) == int(keras_.optimizer.iterations) == steps
    if backend == "tensorflow" and rest:
        assert found["loss"] == pytest.approx(wanted["loss"], rel=ROUNDED)
        return
    assert found == wanted
    assert weights_sha256(ours) == weights_sha256(keras_)


@pytest.mark.backend
def test_a_program_is_made_for_each_size_of_batch(backend: str, small: Dataset) -> None:
    """Two programs are compiled in all, one per batch size, and none in the second epoch."""
    if backend == "torch":
        return
    model = compiled(small)
    trained(model, small, WHOLE + 5)
    sizes = [call.args[-1][0].shape[0] for call in model.train_step.call_args_list]
    # JAX first traces the step's shapes; TensorFlow first creates the metrics' variables.
    assert sorted(sizes) == {"jax": [5, 5, 32, 32], "tensorflow": [5, 32, 32]}[backend]


@pytest.mark.backend
def test_a_second_compile_trains_with_its_optimizer(backend: str, small: Dataset) -> None:
    """After a second `compile`, the model trains with the new optimizer, not the old program."""
    import keras

    from lenet_multi.backends.adam import Adam

    model = compiled(small)
    trained(model, small, 64)  # four steps; the rate falls to zero in two epochs of all images
    before = model.get_weights()
    nothing = Adam(keras.optimizers.schedules.CosineDecay(0.0, 10))  # its state equals the first's
    steps = model.steps_per_execution
    model.compile(nothing, model.loss, metrics=["accuracy"], steps_per_execution=steps)
    trained(model, small, 64)
    assert int(nothing.iterations) == 4
    assert all(map(np.array_equal, model.get_weights(), before))


@pytest.mark.backend
def test_bytes_are_scaled_only_where_that_is_asked(backend: str, small: Dataset) -> None:
    """A user's own byte array means numbers up to 255, as in Keras, also in training."""
    model, same = (compiled(small) for _ in range(2))
    trained(model, small, 32)  # compiles the program that scales
    model.set_weights(same.get_weights())
    pixels, labels = small.train.x[:32], small.train.y[:32]
    as_bytes, as_floats = (
        model_.train_on_batch(images, labels, return_dict=True)["loss"]
        for model_, images in ((model, pixels), (same, pixels.astype(np.float32)))
    )
    assert as_bytes == pytest.approx(as_floats, rel=ROUNDED)


@pytest.mark.backend
@pytest.mark.parametrize("weights", [None, np.zeros(32, np.float32)], ids=["plain", "weighted"])
def test_one_batch_may_be_trained_on(backend: str, small: Dataset, weights: Any) -> None:
    """`train_on_batch` takes one step, with sample weights if they are given."""
    from lenet_multi.data.batches import Batches

    model = compiled(small)
    before = model.get_weights()
    images, labels = Batches(small.train, batch_size=32, prepare=scaled)[0]
    logs = model.train_on_batch(images, labels, sample_weight=weights, return_dict=True)
    assert int(model.optimizer.iterations) == 1
    assert (logs["loss"] == 0) == (weights is not None)
    moved = not all(map(np.array_equal, model.get_weights(), before))
    assert moved == (weights is None)
