from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from tests.backends.models import fast

pytestmark = [pytest.mark.backend]


@pytest.mark.parametrize("schedule", ["cosine", "step", "one-cycle", "own", "constant"])
def test_a_recorded_step_takes_the_rate_of_its_time(backend: str, schedule: str) -> None:
    """Each step takes the schedule's rate, also from a user's schedule that returns numbers.

    A learning rate that is set between steps applies from the next step.
    """
    if backend != "torch":
        return
    import keras

    from lenet_multi.backends.adam import Adam
    from lenet_multi.training.setup import make_optimizer

    class Own(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> float:
            return 0.5 ** int(step)

        def get_config(self) -> dict[str, Any]:
            return {}

    x, y = np.ones((4, 3), np.float32), np.zeros(4, np.uint8)
    moved = []
    for is_fast in (True, False):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.set_weights([np.ones((3, 2)), np.arange(2)])
        if is_fast:
            fast(model)
        optimizer = Adam(Own())
        if schedule != "own":
            optimizer = make_optimizer(TrainConfig(lr_schedule=schedule), steps=8)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        for _ in range(4):
            model.train_on_batch(x, y)
        optimizer.learning_rate = 0.25 if schedule == "constant" else lambda: 0.25
        model.train_on_batch(x, y)
        moved.append(model.get_weights())
        assert is_fast == (getattr(getattr(model, "fast", None), "step", None) is not None)
    for ours, stock in zip(*moved, strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-6)


def test_a_gpus_rates_are_counted_on_the_host(backend: str) -> None:
    """The host computes the schedule's rates, and follows the optimizer when its steps are set."""
    if backend != "torch":
        return
    import keras

    from lenet_multi.backends.torch import _rate_by_host

    schedule = keras.optimizers.schedules.CosineDecay(0.0, 20, warmup_target=0.1, warmup_steps=4)
    optimizer = keras.optimizers.Adam(schedule)
    rate = _rate_by_host(optimizer)

    def next_ones() -> list[float]:
        return [float(rate()) for _ in range(8)]

    assert next_ones() == [float(schedule(step)) for step in range(8)]  # nothing counts
    optimizer.iterations.assign(3)
    assert next_ones() == [float(schedule(step)) for step in range(3, 11)]
    constant = _rate_by_host(keras.optimizers.Adam(0.25))
    assert float(constant()) == float(constant()) == 0.25


@pytest.mark.parametrize(
    ("dtype", "device", "has"),
    [
        ("float32", "cuda", True),
        ("float32", "cpu", True),
        ("float64", "cpu", True),
        ("float64", "cuda", False),
        ("float32", "mps", False),
        ("float32", "xpu", False),
    ],
)
def test_pytorchs_kernel_is_taken_where_it_is_exact(
    backend: str, dtype: str, device: str, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's kernel updates float32 on a GPU, any weights on a CPU, and none elsewhere."""
    if backend != "torch":
        return
    import torch

    from lenet_multi.backends import private
    from lenet_multi.backends.torch import update_by_adam

    kernel, optimizer = Mock(), Mock()
    optimizer.corrected.return_value = rate = torch.ones(())
    monkeypatch.setattr(private, "find", lambda name: kernel)
    value = SimpleNamespace(device=SimpleNamespace(type=device))
    weight = SimpleNamespace(dtype=dtype, value=value)
    update_by_adam(optimizer, [(Mock(), weight, Mock(), Mock())], rate)
    assert (kernel.call_count, optimizer.by_formula.call_count) == (has, not has)
