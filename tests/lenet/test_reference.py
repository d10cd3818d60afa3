from collections.abc import Callable

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet import reference
from lenet_multi.lenet.reference import Array, Stack

# A small LeNet: 3 and 4 filters, 6 units, 3 classes, on 18x16x2 images.
SMALL_SHAPES = [(5, 5, 2, 3), (3,), (5, 5, 3, 4), (4,), (4, 6), (6,), (6, 3), (3,)]
SMALL = Stack(reference.LENET, {str(place): shape for place, shape in enumerate(SMALL_SHAPES)})


def small_problem(seed: int) -> tuple[list[Array], Array, np.ndarray]:
    """Return random weights (biases too), images and labels for the small LeNet."""
    generator = np.random.default_rng(seed)
    weights = [
        weight + 0.1 * generator.standard_normal(weight.shape)
        for weight in SMALL.initial_weights(seed)
    ]
    return weights, generator.random((5, 18, 16, 2)), generator.integers(0, 3, 5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tensor", range(len(SMALL_SHAPES)))
def test_gradients_are_finite_differences(seed: int, tensor: int) -> None:
    """Along a random direction in each tensor, the gradient equals the central difference.

    A step of 1e-6 leaves a rounding of about 1e-10 on slopes of 0.01 and more; measured 4e-8.
    """
    weights, images, labels = small_problem(seed)
    _, gradients = SMALL.gradients(weights, images, labels)
    direction = np.random.default_rng(seed + 100).standard_normal(SMALL_SHAPES[tensor])
    step = 1e-6

    def moved(by: float) -> float:
        changed = [w + by * direction if i == tensor else w for i, w in enumerate(weights)]
        return SMALL.gradients(changed, images, labels)[0]

    difference = (moved(step) - moved(-step)) / (2 * step)
    slope = float(np.sum(gradients[tensor] * direction))
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-9)


def test_a_wrong_gradient_is_caught() -> None:
    """Kernels turned by 180 degrees give another gradient, so the comparison would fail."""
    weights, images, labels = small_problem(0)
    turned = [w[::-1, ::-1] if w.ndim == 4 else w for w in weights]
    _, right = SMALL.gradients(weights, images, labels)
    _, wrong = SMALL.gradients(turned, images, labels)
    assert np.abs(right[0] - wrong[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("build", "parameters"),
    [(reference.lenet, 431_080), (reference.softmax_regression, 7_850)],
    ids=["lenet", "softmax-regression"],
)
def test_a_network_is_built_for_the_images(
    small: Dataset, build: Callable[[TrainConfig, Dataset], Stack], parameters: int
) -> None:
    """On MNIST the network has the parameters of Keras's model, and its weights are float64."""
    network = build(TrainConfig(), small)
    weights = network.initial_weights(seed=0)
    assert sum(weight.size for weight in weights) == parameters
    assert {weight.dtype for weight in weights} == {np.dtype(np.float64)}
    assert network.forward(weights, small.test.x[:2] / 255).shape == (2, 10)
