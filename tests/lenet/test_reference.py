from collections.abc import Callable

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet import reference
from lenet_multi.lenet.initial_weights import draw_initial_weights
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


LENET_SHAPES = {
    "conv1/kernel": (5, 5, 1, 20),
    "conv1/bias": (20,),
    "conv2/kernel": (5, 5, 20, 50),
    "conv2/bias": (50,),
    "dense1/kernel": (800, 500),
    "dense1/bias": (500,),
    "dense2/kernel": (500, 10),
    "dense2/bias": (10,),
}
SOFTMAX_SHAPES = {"dense/kernel": (784, 10), "dense/bias": (10,)}


@pytest.mark.parametrize(
    ("build", "shapes"),
    [(reference.lenet, LENET_SHAPES), (reference.softmax_regression, SOFTMAX_SHAPES)],
    ids=["lenet", "softmax-regression"],
)
def test_a_network_is_built_for_the_images(
    small: Dataset,
    build: Callable[[TrainConfig, Dataset], Stack],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    """On MNIST the network has the weights of Keras's model, in its order, and they are float64."""
    network = build(TrainConfig(), small)
    assert network.names == list(shapes)
    weights = network.initial_weights(seed=3)
    assert [weight.shape for weight in weights] == list(shapes.values())
    drawn = draw_initial_weights(list(shapes.values()), seed=3)
    np.testing.assert_equal(weights, [one.astype(np.float64) for one in drawn])
    assert {weight.dtype for weight in weights} == {np.dtype(np.float64)}
    assert network.forward(weights, small.test.x[:2] / 255).shape == (2, 10)


@pytest.mark.parametrize("shape", [(5, 7), (7, 4), (4, 7)], ids=str)
def test_pooling_leaves_out_what_fills_no_window(shape: tuple[int, int]) -> None:
    """An odd last row or column is in no window; a tie's gradient goes to the first entry."""
    height, width = shape
    x = np.arange(float(height * width)).reshape(1, height, width, 1)
    x[0, :2, :2] = 9  # a tie
    y, backward = reference._max_pool(x)
    rows, columns = height // 2, width // 2
    largest = [
        [x[0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max() for j in range(columns)]
        for i in range(rows)
    ]
    assert y[0, ..., 0].tolist() == largest
    (dx,) = backward(np.ones_like(y))
    assert dx.sum() == rows * columns
    assert dx[0, :2, :2, 0].tolist() == [[1, 0], [0, 0]]
    assert dx[0, 1, 3] == dx[0, 3, 1] == 1


def test_nothing_passes_a_relu_at_zero() -> None:
    """As in Keras, the slope at 0 is 0."""
    y, backward = reference._relu(np.array([-1.0, 0.0, 2.0]))
    assert y.tolist() == [0, 0, 2]
    assert backward(np.array([5.0, 5.0, 5.0]))[0].tolist() == [0, 0, 5]


def test_large_logits_are_no_infinity() -> None:
    """Each row is shifted by its own largest logit."""
    value, gradient = reference._cross_entropy(np.array([[2e3, 0], [0, 0]]), np.array([0, 1]))
    assert value == pytest.approx(np.log(2) / 2)
    assert gradient.tolist() == [[0, 0], [0.25, -0.25]]
