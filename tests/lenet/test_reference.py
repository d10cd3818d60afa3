import numpy as np
import pytest

from lenet_multi.lenet import reference
from lenet_multi.lenet.reference import SGD, Adam, Array
from lenet_multi.training.initial_weights import draw_initial_weights

# A LeNet in small: 3 and 4 filters, 6 units, 3 classes, on 18x16x2 images.
SMALL_SHAPES = [(5, 5, 2, 3), (3,), (5, 5, 3, 4), (4,), (4, 6), (6,), (6, 3), (3,)]


def small_problem(seed: int) -> tuple[list[Array], Array, np.ndarray]:
    """Return random weights (biases too), images and labels for the small LeNet."""
    generator = np.random.default_rng(seed)
    weights = [
        w.astype(np.float64) + 0.1 * generator.standard_normal(w.shape)
        for w in draw_initial_weights(SMALL_SHAPES, seed=seed)
    ]
    return weights, generator.random((5, 18, 16, 2)), generator.integers(0, 3, 5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tensor", range(len(SMALL_SHAPES)))
def test_gradients_are_finite_differences(seed: int, tensor: int) -> None:
    """Along random directions in each tensor, the gradient is the central difference.

    A step of 1e-6 leaves some 1e-10 of rounding on slopes of 0.01 and more: 4e-8 was measured.
    """
    weights, images, labels = small_problem(seed)
    _, gradients = reference.gradients(weights, images, labels)
    direction = np.random.default_rng(seed + 100).standard_normal(SMALL_SHAPES[tensor])
    step = 1e-6

    def moved(by: float) -> float:
        changed = [w + by * direction if i == tensor else w for i, w in enumerate(weights)]
        return reference.loss(changed, images, labels)

    difference = (moved(step) - moved(-step)) / (2 * step)
    slope = float(np.sum(gradients[tensor] * direction))
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-9)


def test_a_wrong_gradient_is_caught() -> None:
    """Finite differences tell a kernel turned by 180 degrees from the right one."""
    weights, images, labels = small_problem(0)
    turned = [w[::-1, ::-1] if w.ndim == 4 else w for w in weights]
    _, right = reference.gradients(weights, images, labels)
    _, wrong = reference.gradients(turned, images, labels)
    assert np.abs(right[0] - wrong[0]).max() > 1e-3


def test_sgd_goes_down_the_gradient() -> None:
    """Without momentum a step is the rate times the gradient; with it, steps add up."""
    weight, gradient = [np.array([1.0])], [np.array([2.0])]
    assert SGD(0.1).step(weight, gradient)[0] == pytest.approx(0.8)
    momentum = SGD(0.1, momentum=0.5)
    once = momentum.step(weight, gradient)
    twice = momentum.step(once, gradient)
    assert (once[0][0], twice[0][0]) == pytest.approx((0.8, 0.8 - 0.2 - 0.1))


def test_adams_first_step_has_the_size_of_the_rate() -> None:
    """Epsilon stands outside the bias correction: a tiny gradient shows by how much.

    The first step is rate * g / (|g| + epsilon / sqrt(1 - beta_2)).
    """
    for gradient in (3.0, 1e-6):
        moved = 1 - Adam().step([np.array([1.0])], [np.array([gradient])])[0][0]
        outside = 0.001 * gradient / (gradient + 1e-7 / np.sqrt(1 - 0.999))
        assert moved == pytest.approx(outside, rel=1e-9)
