from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.parity import slopes

WEIGHTS = [np.array([[1.0, 2.0]]), np.array([3.0])]


def loss_at(weights: Sequence[NDArray[Any]]) -> float:
    """Return the sum of squares; its gradient is twice the weights."""
    return float(sum((weight**2).sum() for weight in weights))


def test_the_slope_along_the_right_gradient_is_its_length() -> None:
    """The slope along the gradient is the gradient's length, for each tensor."""
    gradient = [2 * weight for weight in WEIGHTS]
    found = slopes.along(gradient, WEIGHTS, loss_at(WEIGHTS), loss_at, [0, 1])
    assert {*found} == {0, 1}
    for size, slope in found.values():
        assert slope == pytest.approx(size, rel=1e-7)


def test_the_slope_along_a_wrong_gradient_is_another() -> None:
    """A gradient that is half as long has the slope of the right one, twice its own length."""
    size, slope = slopes.along(WEIGHTS, WEIGHTS, loss_at(WEIGHTS), loss_at, [0])[0]
    assert slope == pytest.approx(2 * size, rel=1e-7)


@pytest.mark.parametrize("places", [[], [0, 1]], ids=["no tensors", "zeros"])
def test_a_gradient_of_zeros_has_no_slope(places: list[int]) -> None:
    """Without a gradient there is no direction, so nothing is checked."""
    zeros = [0 * weight for weight in WEIGHTS]
    assert slopes.along(zeros, WEIGHTS, loss_at(WEIGHTS), loss_at, places) == {}
