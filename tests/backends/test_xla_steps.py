import dataclasses
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from lenet_multi.backends.choice import execution
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine import keras_start
from lenet_multi.machine.keras_start import GPU

pytestmark = [pytest.mark.backend]

STEPS = 23  # two executions and three steps more
WHOLE = STEPS * 32

ROUNDED = 1e-5  # of sums in float32, by XLA and not; none was seen


def compiled(
    small: Dataset, *, xla_loops: bool = True, architecture: str = "softmax-regression"
) -> Any:
    """Return a model for batches of 32, by our loop of XLA or by Keras's own of steps by XLA.

    The LeNet takes XLA seconds to compile, one layer does not.
    """
    import keras
    from lenet_multi.training.model import build, compile_model

    recipe = RECIPES["standard"]
    config = dataclasses.replace(recipe, batch_size=32, epochs=2, architecture=architecture)
    model = build(config, small.image_shape)
    how = dataclasses.replace(execution(keras.backend.backend()), steps_per_execution=10)
    if not xla_loops:
        how = dataclasses.replace(how, jit_compile=True, xla_loops=False)
    compile_model(model, config, how, training_images=WHOLE)
    model.train_step = Mock(wraps=model.train_step)
    return model


def trained(model: Any, small: Dataset, images: int) -> Any:
    """Train for two epochs and return what Keras logged of each."""
    from lenet_multi.backends.feeds import feed, feed_bytes
    from lenet_multi.backends.xla_steps import XlaSteps

    from lenet_multi.data.batches import Batches

    batches = Batches(small.train[:images], batch_size=32)
    if not isinstance(model.make_train_function, XlaSteps):
        return model.fit(feed(batches), epochs=2, shuffle=False, verbose=0).history
    with model.make_train_function.scaling_bytes():
        return model.fit(feed_bytes(batches), epochs=2, shuffle=False, verbose=0).history


@pytest.mark.parametrize("rest", [0, 5], ids=["whole batches", "and a smaller one"])
def test_a_loop_of_xla_trains_to_the_same_bits(backend: str, small: Dataset, rest: int) -> None:
    """Weights, and loss and accuracy of each epoch, are those of Keras's own loop over steps.

    It is fed floats, ours bytes. On TensorFlow the smaller batch is not for XLA, and rounds
    otherwise.
    """
    if backend == "torch":
        return
    from lenet_multi.training.model import weights_sha256

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


def test_batches_made_on_a_gpu_train_to_the_same_bits(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are JAX's own arrays, laid where they are, not NumPy's."""
    if backend != "jax":
        return
    from lenet_multi.training.model import weights_sha256

    from_bytes, from_there = compiled(small), compiled(small)
    wanted = trained(from_bytes, small, WHOLE + 5)
    monkeypatch.setattr(keras_start, "device", lambda: GPU)
    assert trained(from_there, small, WHOLE + 5) == wanted
    assert weights_sha256(from_there) == weights_sha256(from_bytes)


def test_a_program_is_made_for_each_size_of_batch(backend: str, small: Dataset) -> None:
    """Two: however many steps are left at an epoch's end, and none in the second epoch."""
    if backend == "torch":
        return
    model = compiled(small)
    trained(model, small, WHOLE + 5)
    sizes = [call.args[-1][0].shape[0] for call in model.train_step.call_args_list]
    # JAX looks at the step's shapes before; TensorFlow first makes the variables of the metrics.
    assert sorted(sizes) == {"jax": [5, 5, 32, 32], "tensorflow": [5, 32, 32]}[backend]


def test_tensorflow_has_xla_compile_whole_batches_alone(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smaller batch, for which XLA would compile for seconds, TensorFlow computes by itself."""
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


def test_a_second_compile_trains_with_its_optimizer(backend: str, small: Dataset) -> None:
    """Nothing is left of the program of the first."""
    if backend == "torch":
        return
    import keras

    from lenet_multi.backends.adam import Adam

    model = compiled(small)
    trained(model, small, 64)  # four steps, whose rate falls to zero in two epochs of all
    before = model.get_weights()
    nothing = Adam(keras.optimizers.schedules.CosineDecay(0.0, 10))  # its state like the first's
    steps = model.steps_per_execution
    model.compile(nothing, model.loss, metrics=["accuracy"], steps_per_execution=steps)
    trained(model, small, 64)
    assert int(nothing.iterations) == 4
    assert all(map(np.array_equal, model.get_weights(), before))


def test_bytes_are_scaled_only_where_that_is_asked(backend: str, small: Dataset) -> None:
    """A user's own array of bytes is what it is in Keras, numbers up to 255, to train on too."""
    if backend == "torch":
        return
    model, same = (compiled(small) for _ in range(2))
    trained(model, small, 32)  # the program that scales is made
    model.set_weights(same.get_weights())
    pixels, labels = small.train.x[:32], small.train.y[:32]
    as_bytes, as_floats = (
        model_.train_on_batch(images, labels, return_dict=True)["loss"]
        for model_, images in ((model, pixels), (same, pixels.astype(np.float32)))
    )
    assert as_bytes == pytest.approx(as_floats, rel=ROUNDED)


@pytest.mark.parametrize("weights", [None, np.zeros(32, np.float32)], ids=["plain", "weighted"])
def test_one_batch_may_be_trained_on(backend: str, small: Dataset, weights: Any) -> None:
    """`train_on_batch` takes one step, with the weights of its images where it is given any."""
    if backend == "torch":
        return
    from lenet_multi.data.batches import Batches

    model = compiled(small)
    before = model.get_weights()
    images, labels = Batches(small.train, batch_size=32)[0]
    logs = model.train_on_batch(images, labels, sample_weight=weights, return_dict=True)
    assert int(model.optimizer.iterations) == 1
    assert (logs["loss"] == 0) == (weights is not None)
    moved = not all(map(np.array_equal, model.get_weights(), before))
    assert moved == (weights is None)


def test_no_batch_ends_the_epoch(backend: str) -> None:
    """As Keras's own function does, which looks no further before it begins a step."""
    if backend != "jax":
        return
    import jax
    from lenet_multi.backends.xla_steps import XlaSteps

    model = Mock(steps_per_execution=3, train_function=None)
    model.train_step = lambda state, batch: ({"sum": batch[0].sum()}, state + batch[0].sum())
    XlaSteps(model, batch_size=2)()
    batches = iter([(np.full(2, number),) for number in range(1, 5)])
    logs, state = model.train_function(jax.numpy.zeros((), int), batches)
    assert (logs["sum"], state) == (6, 12)
    logs, state = model.train_function(state, batches)
    assert (logs["sum"], state) == (8, 20)
    with pytest.raises(StopIteration):
        model.train_function(state, batches)


def test_a_step_scales_bytes_alone(backend: str) -> None:
    """Images that come scaled stay what they are."""
    from lenet_multi.backends.xla_steps import scaled

    images, labels = np.ones((1, 2, 2, 1), np.float32), np.ones(1, np.uint8)
    assert scaled((images, labels))[0] is images
    fifths, others = scaled((np.full((1, 2, 2, 1), 51, np.uint8), labels))
    assert float(fifths[0, 0, 0, 0]) == np.float32(0.2)
    assert others is labels
