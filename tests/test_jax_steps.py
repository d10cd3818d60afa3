import dataclasses
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from lenet_multi.config import RECIPES
from lenet_multi.data import Dataset
from lenet_multi.speed import execution

pytestmark = [pytest.mark.backend]

IMAGES = 23 * 32 + 5  # two executions, three steps more, and a smaller batch


def trained(small: Dataset, *, jax_loops: bool) -> Any:
    """Return a model after two epochs, and what Keras logged of each."""
    from lenet_multi.batches import Batches
    from lenet_multi.model import build, compile_model

    config = dataclasses.replace(RECIPES["standard"], batch_size=32, epochs=2)
    model = build(config, small.image_shape)
    how = dataclasses.replace(execution("jax"), jax_loops=jax_loops)
    compile_model(model, config, how, training_images=IMAGES)
    model.train_step = Mock(wraps=model.train_step)
    batches = Batches(small.train[:IMAGES], batch_size=32)
    return model, model.fit(batches, epochs=2, shuffle=False, verbose=0).history


def test_a_loop_of_xla_trains_to_the_same_bits(backend: str, small: Dataset) -> None:
    """Weights, and loss and accuracy of each epoch, are those of Keras's loop in Python."""
    if backend != "jax":
        return
    from lenet_multi.model import weights_sha256

    (python, by_python), (xla, by_xla) = (
        trained(small, jax_loops=jax_loops) for jax_loops in (False, True)
    )
    assert by_xla == by_python
    assert weights_sha256(xla) == weights_sha256(python)
    assert xla.optimizer.iterations == python.optimizer.iterations == 2 * 24


def test_a_program_is_made_for_each_size_of_batch(backend: str, small: Dataset) -> None:
    """Two: however many steps are left at an epoch's end, and none in the second epoch."""
    if backend != "jax":
        return
    model, _ = trained(small, jax_loops=True)
    assert {call.args[1][0].shape[0] for call in model.train_step.call_args_list} == {32, 5}
    for_shapes, for_the_loop = 1, 1
    assert model.train_step.call_count == 2 * (for_shapes + for_the_loop)


def test_a_second_compile_trains_with_its_optimizer(backend: str, small: Dataset) -> None:
    """Nothing is left of the program of the first."""
    if backend != "jax":
        return
    import keras

    from lenet_multi.adam import Adam
    from lenet_multi.batches import Batches

    model, _ = trained(small, jax_loops=True)
    before = model.get_weights()
    nothing = Adam(keras.optimizers.schedules.CosineDecay(0.0, 10))  # its state like the first's
    steps = model.steps_per_execution
    model.compile(nothing, model.loss, metrics=["accuracy"], steps_per_execution=steps)
    model.fit(Batches(small.train[:64], batch_size=32), shuffle=False, verbose=0)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_no_batch_ends_the_epoch(backend: str) -> None:
    """As Keras's own function does, which looks no further before it begins a step."""
    if backend != "jax":
        return
    import jax

    from lenet_multi.jax_steps import jax_steps

    model = Mock(steps_per_execution=3, train_function=None)
    model.train_step = lambda state, batch: ({"sum": batch[0].sum()}, state + batch[0].sum())
    jax_steps(model)()
    batches = iter([(np.full(2, number),) for number in range(1, 5)])
    logs, state = model.train_function(jax.numpy.zeros((), int), batches)
    assert (logs["sum"], state) == (6, 12)
    logs, state = model.train_function(state, batches)
    assert (logs["sum"], state) == (8, 20)
    with pytest.raises(StopIteration):
        model.train_function(state, batches)
