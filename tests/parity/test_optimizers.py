import numpy as np
import pytest

from lenet_multi.parity.optimizers import SGD, Adam


def test_sgd_goes_down_the_gradient() -> None:
    """Without momentum a step is rate times gradient; with momentum steps add up."""
    weight, gradient = [np.array([1.0])], [np.array([2.0])]
    assert SGD(0.1).step(weight, gradient)[0] == pytest.approx(0.8)
    momentum = SGD(0.1, momentum=0.5)
    once = momentum.step(weight, gradient)
    twice = momentum.step(once, gradient)
    assert (once[0][0], twice[0][0]) == pytest.approx((0.8, 0.8 - 0.2 - 0.1))


def test_adams_first_step_has_the_size_of_the_rate() -> None:
    """Epsilon is outside the bias correction, which a tiny gradient shows.

    The first step is rate * g / (|g| + epsilon / sqrt(1 - beta_2)).
    """
    for gradient in (3.0, 1e-6):
        moved = 1 - Adam().step([np.array([1.0])], [np.array([gradient])])[0][0]
        outside = 0.001 * gradient / (gradient + 1e-7 / np.sqrt(1 - 0.999))
        assert moved == pytest.approx(outside, rel=1e-9)
