import numpy as np
import pytest

from lenet_multi.data.examples import Dataset, epoch_order
from lenet_multi.lenet import reference
from lenet_multi.lenet.tasks import LENET
from lenet_multi.parity import oracle
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.oracle import SGD, Adam
from lenet_multi.parity.plan import ORACLE, Plan


def test_the_oracle_goes_down(mnist: Dataset) -> None:
    """The oracle trains in every climber's order: its loss starts as theirs, and falls."""
    evidence, plan = Evidence(ORACLE, "today"), Plan(float64_images=20 * 32)
    oracle.climb(evidence, plan, LENET, mnist, lambda what, done, steps: None)
    losses = evidence.arrays["L4/losses"]
    assert len(losses) == 20
    assert losses[-3:].mean() < losses[0] - 0.5
    network = reference.lenet(plan.config, mnist)
    weights = network.initial_weights(seed=0)
    first = epoch_order(640, seed=0, epoch=0)[:32]
    images, labels = mnist.train.x[first] / 255, mnist.train.y[first]
    assert losses[0] == network.gradients(weights, images, labels)[0]
    assert sum(weight.size for weight in weights) == 431_080


def test_sgd_goes_down_the_gradient() -> None:
    """Without momentum a step is the rate times the gradient; with it, steps add up."""
    weight, gradient = np.array([1.0]), np.array([2.0])
    assert SGD(0.1).step(weight, gradient) == pytest.approx(0.8)
    momentum = SGD(0.1, momentum=0.5)
    once = momentum.step(weight, gradient)
    twice = momentum.step(once, gradient)
    assert (once[0], twice[0]) == pytest.approx((0.8, 0.8 - 0.2 - 0.1))


def test_adams_first_step_has_the_size_of_the_rate() -> None:
    """Epsilon stands outside the bias correction: a tiny gradient shows by how much.

    The first step is rate * g / (|g| + epsilon / sqrt(1 - beta_2)).
    """
    for gradient in (3.0, 1e-6):
        moved = 1 - Adam().step(np.array([1.0]), np.array([gradient]))[0]
        outside = 0.001 * gradient / (gradient + 1e-7 / np.sqrt(1 - 0.999))
        assert moved == pytest.approx(outside, rel=1e-9)
