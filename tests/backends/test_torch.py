import dataclasses
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from lenet_multi.lenet.recipes import RECIPES

pytestmark = [pytest.mark.backend]


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

    from lenet_multi.backends.torch import _rate
    from lenet_multi.training.setup import make_optimizer

    class Own(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> float:
            return 0.5 ** int(step)

    if schedule == "own":
        optimizer = keras.optimizers.SGD(Own(), gradient_accumulation_steps=2)
    else:
        config = dataclasses.replace(RECIPES["standard"], lr_schedule=schedule)
        optimizer = make_optimizer(config, steps=8)
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

    from lenet_multi.backends.torch import _rate_by_host

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


@pytest.mark.parametrize(
    ("dtype", "is_cuda", "has"),
    [
        ("float32", True, True),
        ("float32", False, True),
        ("float64", False, True),
        ("float64", True, False),
    ],
)
def test_pytorchs_kernel_is_taken_where_it_is_exact(
    backend: str, dtype: str, is_cuda: bool, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU its rate has float32's digits, so that Keras's formula serves float64."""
    if backend != "torch":
        return
    import torch

    from lenet_multi.backends import private
    from lenet_multi.backends.torch import update_by_adam

    kernel, optimizer = Mock(), Mock()
    optimizer.corrected.return_value = rate = torch.ones(())
    monkeypatch.setattr(private, "find", lambda name: kernel)
    weight = SimpleNamespace(dtype=dtype, value=SimpleNamespace(is_cuda=is_cuda))
    update_by_adam(optimizer, [(Mock(), weight, Mock(), Mock())], rate)
    assert (kernel.call_count, optimizer.by_formula.call_count) == (has, not has)
