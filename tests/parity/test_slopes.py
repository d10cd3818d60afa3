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


def test_some_of_many_tensors_are_checked() -> None:
    """Of more than eight, each second or third: no more than eight, from the first on."""
    for count, places in ((8, range(8)), (9, range(0, 9, 2)), (20, range(0, 20, 3))):
        weights = [np.array([1.0]) for _ in range(count)]
        gradient = [2 * weight for weight in weights]
        found = slopes.along(gradient, weights, loss_at(weights), loss_at, range(count))
        assert list(found) == list(places)


@pytest.mark.parametrize(
    ("size", "around", "gap"),
    [
        (4.0, (1.0, 3.0, 2.0, 3.0), 0.25),
        (4.0, (0.0, 3.0, 1.0, 2.2), 0.45),
        (4.0, (0.0, 2.0, 1.0, 2.1), 0.0),
        (100.0, (50.0, 50.0, 50.0, 50.0005), 0.5),
        (100.0, (50.0, 50.0, 50.0, 50.002), 0.0),
    ],
    ids=["half as far", "less than half", "a kink", "within the tolerance", "beyond it"],
)
def test_at_a_kink_slopes_stay_apart(
    size: float, around: tuple[float, float, float, float], gap: float
) -> None:
    """In the smaller step by more than half, and by more than the tolerance of their size."""
    assert slopes.gap(size, *around) == pytest.approx(gap, rel=1e-4)
