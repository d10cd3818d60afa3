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


def gap_at(gradient: Sequence[NDArray[Any]]) -> float:
    """Return the gap of the first tensor's gradient."""
    return slopes.gap(*slopes.along(gradient, WEIGHTS, loss_at(WEIGHTS), loss_at, [0, 1])[0])


def test_the_slopes_along_the_right_gradient_are_its_length() -> None:
    """All slopes along the gradient are the gradient's length, for each tensor."""
    gradient = [2 * weight for weight in WEIGHTS]
    found = slopes.along(gradient, WEIGHTS, loss_at(WEIGHTS), loss_at, [0, 1])
    assert {*found} == {0, 1}
    for size, *around in found.values():
        assert around == pytest.approx([size] * 4, rel=1e-6)
    assert gap_at(gradient) < 1e-6


def test_the_slope_along_a_wrong_gradient_is_another() -> None:
    """A gradient that is half as long is outside the slopes by its own length."""
    assert gap_at(WEIGHTS) == pytest.approx(1, rel=1e-6)


def test_at_a_kink_no_gradient_is_wrong() -> None:
    """Slopes that differ at every step have no gradient; where they agree, another one is wrong."""
    assert slopes.gap(1.5, 1.0, 2.0, 1.0, 2.0) == slopes.gap(4.0, 2.0, 1.0, 2.0, 1.0) == 0
    assert slopes.gap(4.0, 2.0, 2.0, 2.0, 2.0) == pytest.approx(0.5)


def test_a_curve_is_no_kink() -> None:
    """Where the slopes come together in the smaller step, a wrong gradient is still seen."""
    assert slopes.gap(4.0, 1.0, 3.0, 1.9, 2.1) == pytest.approx(0.475)
    assert slopes.gap(2.0, 1.0, 3.0, 1.9, 2.1) == pytest.approx(0)


def test_a_kink_beside_the_point_is_left_out_by_the_smaller_step() -> None:
    """A kink that only the larger step passes does not hide the gradient."""
    assert slopes.gap(2.0, 2.0, 2.5, 2.0, 2.0) == 0
    assert slopes.gap(4.0, 2.0, 2.5, 2.0, 2.0) == pytest.approx(0.4375)


def test_a_kink_close_beside_the_point_leaves_one_side() -> None:
    """If both steps pass a kink, the slope of the other side is right, and no other length."""
    assert slopes.gap(2.0, 2.0, 2.5, 2.0, 2.1) == 0
    assert slopes.gap(2.03, 2.0, 2.5, 2.0, 2.1) > 1e-3


@pytest.mark.parametrize("places", [[], [0, 1]], ids=["no tensors", "zeros"])
def test_a_gradient_of_zeros_has_no_slope(places: list[int]) -> None:
    """Without a gradient there is no direction, so nothing is checked."""
    zeros = [0 * weight for weight in WEIGHTS]
    assert slopes.along(zeros, WEIGHTS, loss_at(WEIGHTS), loss_at, places) == {}
