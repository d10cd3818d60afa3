"""Models that tests of the backends train, and the way they train them."""

import dataclasses
from typing import Any
from unittest.mock import Mock

from lenet_multi import backends
from lenet_multi.backends.choice import execution
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.pixels import scaled
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.own.find import find_task

STEPS = 23  # two executions and three more steps
WHOLE = STEPS * 32

ROUNDED = 1e-5  # float32 sums with and without XLA; no difference was seen


def in_form(model: Any, form: str) -> None:
    """Make `model` compute in `form`, in training and in answers, one step at a time."""
    import keras

    from lenet_multi.backends.fast import make_fast

    how = execution(keras.backend.backend(), form)
    make_fast(model, dataclasses.replace(how, xla_loops=False))


def fast(model: Any) -> None:
    """Make `model` train and answer as in a run."""
    import keras

    from lenet_multi.backends.fast import fitting, make_fast

    make_fast(model, fitting(model, execution(keras.backend.backend())))


def compiled(
    small: Dataset, *, xla_loops: bool = True, architecture: str = "softmax-regression"
) -> Any:
    """Return a model for batches of 32, trained by our XLA loop or by Keras's own loop of steps.

    XLA takes seconds to compile the LeNet, but not one layer. Without `xla_loops`, XLA compiles
    Keras's steps.
    """
    import keras

    from lenet_multi.training.setup import build, compile_model

    recipe = RECIPES["standard"]
    config = dataclasses.replace(recipe, batch_size=32, epochs=2, architecture=architecture)
    task = find_task(TrainConfig(architecture=architecture))
    model = build(task, config, small)
    how = execution(keras.backend.backend())
    if how.steps_per_execution > 1:
        how = dataclasses.replace(how, steps_per_execution=10)
    if not xla_loops:
        how = dataclasses.replace(how, jit_compile=True, xla_loops=False)
    compile_model(model, task, config, how, examples=WHOLE)
    model.train_step = Mock(wraps=model.train_step)
    return model


def trained(model: Any, small: Dataset, images: int) -> Any:
    """Train for two epochs and return Keras's history."""
    import keras

    from lenet_multi.data.batches import Batches

    batches = Batches(small.train[:images], batch_size=32, prepare=scaled)
    fed = backends.module(keras.backend.backend()).training_feed(batches, model)
    return model.fit(fed, epochs=2, shuffle=False, verbose=0).history
