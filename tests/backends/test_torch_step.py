import dataclasses
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from lenet_multi.backends.choice import STOCK, execution
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.recipes import RECIPES

pytestmark = [pytest.mark.backend]

ROUNDING = 1e-4  # four steps in another form; measured 3e-6


@pytest.mark.parametrize("recipe", ["standard", "notebook"])
def test_the_step_counts_as_keras_does(backend: str, small: Dataset, recipe: str) -> None:
    """Loss and accuracy over some batches, the last a small one, are those of Keras's own step."""
    from lenet_multi.training.model import build, compile_model

    from lenet_multi.data.batches import Batches

    config = RECIPES[recipe]
    classes = config.classes if config.head == "softmax" else None
    batches = Batches(small.train[: 3 * 128 + 5], batch_size=128, classes=classes)
    logs = []
    for form in (STOCK, None):
        model = build(config, small.image_shape)
        compile_model(
            model,
            config,
            dataclasses.replace(execution(backend, form), steps_per_execution=1),
            training_images=len(batches.examples),
        )
        history = model.fit(batches, shuffle=False, verbose=0).history
        logs.append({name: values[-1] for name, values in history.items()})
        # Torch takes steps of its own, and the stock form nowhere.
        assert ("train_step" in vars(model)) == (backend == "torch" and form is None)
    stock, ours = logs
    assert ours.keys() == stock.keys() == {"loss", "accuracy"}
    assert ours["loss"] == pytest.approx(stock["loss"], rel=ROUNDING)
    assert ours["accuracy"] == pytest.approx(stock["accuracy"], abs=1.5 / len(batches.examples))
    assert 0.1 < ours["accuracy"] < np.exp(-0.1)


@pytest.mark.parametrize("rate", [0.0, 0.5], ids=["without dropout", "with dropout"])
def test_a_model_without_a_state_is_asked_once(backend: str, small: Dataset, rate: float) -> None:
    """Later no layer runs in Python; PyTorch's step of a model that draws stays Keras's own."""
    import keras
    from lenet_multi.training.model import compile_model, lenet

    from lenet_multi.data.batches import Batches

    config = RECIPES["standard"]
    *stack, head = lenet().layers
    drawing = [keras.layers.Dropout(rate)] if rate else []
    model = keras.Sequential([keras.Input(small.image_shape), *stack, *drawing, head])
    compile_model(model, config, execution(backend), training_images=len(small.train))
    asked = Mock(wraps=model.call)
    model.call = asked
    batches = Batches(small.train, batch_size=128)
    model.fit(batches, shuffle=False, verbose=0)
    lean = backend == "torch" and not rate
    assert ("train_step" in vars(model)) == lean
    if lean:
        assert asked.call_count == 3  # by Keras, to build; for whole batches, and the last one
    assert asked.called
    asked.reset_mock()
    model.fit(batches, shuffle=False, verbose=0)
    assert asked.call_count == (len(batches) if rate and backend == "torch" else 0)


@pytest.mark.parametrize(
    ("schedule", "asked"), [("cosine", 0), ("step", 0), ("one-cycle", 8), ("own", 8)], ids=str
)
def test_a_cpus_rates_are_recorded_where_they_can_be(
    backend: str, schedule: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the schedule's, to the bit; one with a warm-up, or not Keras's, is asked each time.

    One that a user wrote may look at the step as a number, and answer with one.
    """
    if backend != "torch":
        return
    import keras
    from lenet_multi.backends.torch_step import _rate
    from lenet_multi.training.model import make_optimizer

    class Own(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> float:
            return 0.5 ** int(step)

    if schedule == "own":
        optimizer = keras.optimizers.SGD(Own(), gradient_accumulation_steps=2)
    else:
        config = dataclasses.replace(RECIPES["standard"], lr_schedule=schedule, epochs=1)
        optimizer = make_optimizer(config, training_images=8 * config.batch_size)
    wanted = optimizer._learning_rate
    rates = [float(wanted(step)) for step in range(8)]
    rate = _rate(optimizer)
    spied = Mock(side_effect=rates)
    monkeypatch.setattr(type(wanted), "__call__", lambda schedule, step: spied())
    for step in range(8):
        optimizer._iterations.assign(step)
        assert float(rate()) == rates[step]
    assert spied.call_count == asked
    optimizer.learning_rate = lambda: 0.25
    assert float(rate()) == 0.25


def test_a_gpus_rates_are_counted_on_the_host(backend: str) -> None:
    """They are the schedule's, step by step, and go on from where others put the optimizer."""
    if backend != "torch":
        return
    import keras
    from lenet_multi.backends.torch_step import _rate_by_host

    schedule = keras.optimizers.schedules.CosineDecay(0.0, 20, warmup_target=0.1, warmup_steps=4)
    optimizer = keras.optimizers.Adam(schedule)
    rate = _rate_by_host(optimizer)

    def next_ones() -> list[float]:
        return [float(rate()) for _ in range(8)]

    assert next_ones() == [float(schedule(step)) for step in range(8)]  # though nobody counts
    optimizer.iterations.assign(3)
    assert next_ones() == [float(schedule(step)) for step in range(3, 11)]
    constant = _rate_by_host(keras.optimizers.Adam(0.25))
    assert float(constant()) == float(constant()) == 0.25
