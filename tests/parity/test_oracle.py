import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples, epoch_order
from lenet_multi.lenet import reference
from lenet_multi.lenet.tasks import LENET
from lenet_multi.parity import oracle
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.oracle import SGD, Adam
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, ORACLE, Plan


class Known:
    """A reference whose gradient is its weights: they shrink by the learning rate."""

    names = ("first/kernel", "head/kernel")

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Any]] = []

    def initial_weights(self, seed: int) -> list[NDArray[np.float64]]:
        """Return two tensors."""
        return [np.array([1.0, seed]), np.array([2.0])]

    def forward(self, weights: Any, x: Any) -> Any:
        """Return all that is given, added up."""
        return x + weights[0].sum() + weights[1].sum()

    def gradients(self, weights: Any, x: Any, y: Any) -> tuple[float, Any]:
        """Return the sum of the weights, and themselves."""
        self.seen.append((x.ravel().tolist(), y.tolist()))
        return float(sum(weight.sum() for weight in weights)), weights


def test_everything_is_filed_where_climbers_file_it() -> None:
    """Each rung has its examples in batches, and weights after the steps that are kept."""
    known = Known()
    x = np.arange(40, dtype=np.uint8)[:, np.newaxis]
    dataset = Dataset(Examples(x, np.arange(40) % 10), Examples(x, np.arange(40) % 10))
    config = TrainConfig(seed=3, learning_rate=0.125, lr_schedule="constant")
    plan = Plan(
        config=config, small_batch_size=4, optimizer_steps=3, float64_images=30, saved_after=2
    )
    told: list[Any] = []
    evidence = Evidence(ORACLE, "today")
    asked: list[Any] = []

    def reference(*given: Any) -> Any:
        asked.append(given)
        return known

    task = dataclasses.replace(
        LENET, reference=reference, prepare=lambda x, dtype: x.astype(dtype) / 2
    )
    oracle.climb(evidence, plan, task, dataset, lambda *given: told.append(given))
    assert asked == [(plan.training_config("float64"), dataset)]
    found = evidence.arrays
    first = {f"L1/{point}/{what}" for point in CONFIDENCE for what in ("logits", "loss")}
    gradients = {f"L2/{point}/{name}" for point in CONFIDENCE for name in known.names}
    steps = {f"L3/{name}/{step}" for name in OPTIMIZERS for step in (1, 2, 3)}
    steps |= {f"L4/weights/{step}" for step in (1, 2, 5, 8)}
    weights = {f"{place}/{name}" for place in steps for name in known.names}
    assert set(found) == first | gradients | weights | {"L4/losses"}
    assert found["L1/initial/logits"].tolist() == [[6.0], [6.5], [7.0], [7.5]]
    assert found["L1/initial/loss"] == 6
    assert found["L1/confident/logits"][0] == [4 + 512]
    assert found["L1/confident/loss"] == 4 + 512
    assert found["L2/confident/head/kernel"] == [512]
    assert found["L2/initial/first/kernel"].tolist() == [1, 3]
    for step in (1, 2, 3):
        np.testing.assert_allclose(found[f"L3/SGD/{step}/head/kernel"], 2 * 0.99**step)
    np.testing.assert_allclose(found["L3/momentum/2/head/kernel"], 2 - 0.02 - 0.018 - 0.0198)
    np.testing.assert_allclose(found["L3/Adam/1/first/kernel"], [0.999, 2.999], rtol=1e-6)
    np.testing.assert_allclose(found["L4/weights/1/first/kernel"], [0.875, 2.875], rtol=1e-6)
    assert found["L4/losses"].shape == (8,)
    assert found["L4/losses"][0] == 6
    after = sum(found[f"L4/weights/1/{name}"].sum() for name in known.names)
    assert found["L4/losses"][1] == after
    batches = [[place / 2 for place in range(begin, begin + 4)] for begin in (0, 4, 8)]
    assert [batch for batch, _ in known.seen[:5]] == [batches[0], batches[0], *batches]
    order = epoch_order(30, seed=3, epoch=0)
    assert known.seen[11] == ((order[:4] / 2).tolist(), (order[:4] % 10).tolist())
    assert len(known.seen[18][0]) == 2
    assert len(known.seen) == 2 + 9 + 8
    assert told[:3] == [("L3 SGD", 1, 3), ("L3 SGD", 2, 3), ("L3 SGD", 3, 3)]
    assert told[9:] == [("L4 weights", step, 8) for step in range(1, 9)]


def test_sgd_goes_down_the_gradient() -> None:
    """Without momentum a step is the rate times the gradient; with it, steps add up."""
    weight, gradient = np.array([1.0]), np.array([2.0])
    assert SGD(0.1).step(weight, gradient) == pytest.approx(0.8)
    momentum = SGD(0.1, momentum=0.5)
    once = momentum.step(weight, gradient)
    twice = momentum.step(once, gradient)
    assert (once[0], twice[0]) == pytest.approx((0.8, 0.8 - 0.2 - 0.1))


def test_adam_remembers() -> None:
    """The second step's mean and square are those of both gradients, each corrected.

    The mean is (0.1 * 0.9 * 2 + 0.1 * 4) / (1 - 0.9^2), the square the same with 0.999.
    """
    adam, weight = Adam(0.5), np.array([1.0])
    once = adam.step(weight, np.array([2.0]))
    twice = adam.step(once, np.array([4.0]))
    mean = (0.1 * 0.9 * 2 + 0.1 * 4) / (1 - 0.9**2)
    square = (0.001 * 0.999 * 4 + 0.001 * 16) / (1 - 0.999**2)
    assert once == pytest.approx(0.5, rel=1e-5)
    assert once - twice == pytest.approx(0.5 * mean / np.sqrt(square), rel=1e-5)


def test_adams_first_step_has_the_size_of_the_rate() -> None:
    """Epsilon stands outside the bias correction: a tiny gradient shows by how much.

    The first step is rate * g / (|g| + epsilon / sqrt(1 - beta_2)).
    """
    for gradient in (3.0, 1e-6):
        moved = 1 - Adam().step(np.array([1.0]), np.array([gradient]))[0]
        outside = 0.001 * gradient / (gradient + 1e-7 / np.sqrt(1 - 0.999))
        assert moved == pytest.approx(outside, rel=1e-9)


def test_the_oracle_goes_down(mnist: Dataset) -> None:
    """The oracle trains in every climber's order: its loss starts as theirs, and falls."""
    evidence = Evidence(ORACLE, "today")
    plan = Plan(small_batch_size=8, optimizer_steps=1, saved_after=5, float64_images=10 * 8)
    oracle.climb(evidence, plan, LENET, mnist, lambda what, done, steps: None)
    losses = evidence.arrays["L4/losses"]
    assert len(losses) == 10
    assert losses[-3:].mean() < losses[0] - 0.1
    network = reference.lenet(plan.config, mnist)
    weights = network.initial_weights(seed=0)
    first = epoch_order(80, seed=0, epoch=0)[:8]
    images, labels = mnist.train.x[first] / 255, mnist.train.y[first]
    assert losses[0] == network.gradients(weights, images, labels)[0]
    assert sum(weight.size for weight in weights) == 431_080
