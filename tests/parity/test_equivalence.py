import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lenet_multi.parity.equivalence import LEVEL, two_one_sided_tests

MARGIN = 0.1

differences = st.lists(
    st.integers(-30, 30).map(lambda images: images / 100), min_size=2, max_size=30
)


@given(differences)
def test_both_ways_of_judging_agree(found: list[float]) -> None:
    """The interval lies inside the margin exactly if both one-sided tests reject."""
    result = two_one_sided_tests(np.array(found), margin=MARGIN)
    if abs(result.p_value - LEVEL) > 1e-9:
        assert result.passed == (result.p_value < LEVEL)


@given(differences)
def test_the_order_of_the_pair_does_not_matter(found: list[float]) -> None:
    """Swapping the two backends mirrors the interval and keeps the verdict."""
    there = two_one_sided_tests(np.array(found), margin=MARGIN)
    back = two_one_sided_tests(-np.array(found), margin=MARGIN)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p_value == pytest.approx(there.p_value)


def test_the_interval_is_students() -> None:
    """Ten differences give an interval of 1.833 standard errors to each side (Student)."""
    found = np.array([-1.0, 1.0] * 5)
    result = two_one_sided_tests(found, margin=10)
    error = found.std(ddof=1) / np.sqrt(10)
    assert (result.low, result.high) == pytest.approx((-1.8331 * error, 1.8331 * error), rel=1e-4)


@pytest.mark.parametrize("shift", [-0.15, 0.15])
def test_a_worse_backend_is_not_equivalent(shift: float) -> None:
    """A mean gap of fifteen images in ten thousand, over ten seeds, is not equivalent."""
    noise = np.array([-0.05, 0.03, 0.0, 0.04, -0.02, 0.01, -0.04, 0.05, -0.03, 0.01])
    assert two_one_sided_tests(noise, margin=MARGIN).passed
    assert not two_one_sided_tests(noise + shift, margin=MARGIN).passed


def test_too_few_seeds_are_not_equivalent() -> None:
    """Two seeds that differ do not show equivalence."""
    assert not two_one_sided_tests(np.array([-0.05, 0.05]), margin=MARGIN).passed


@pytest.mark.parametrize(
    ("difference", "passed"), [(0.0, True), (0.09, True), (0.1, False), (-0.1, False)]
)
def test_equal_differences_have_no_spread(difference: float, passed: bool) -> None:
    """If all differences are equal the interval is a point; the margin itself is outside."""
    result = two_one_sided_tests(np.full(5, difference), margin=MARGIN)
    assert (result.low, result.high, result.passed) == (difference, difference, passed)


def test_one_difference_is_refused() -> None:
    """A single pair is refused, because it has no spread."""
    with pytest.raises(ValueError, match=r"^two or more differences are needed$"):
        two_one_sided_tests(np.array([0.0]), margin=MARGIN)


def test_the_result_has_what_was_tested() -> None:
    """The number of pairs, their mean, and the margin; the p-value is that of the worse side."""
    found = np.array([0.02, 0.04, 0.03, 0.07])
    result = two_one_sided_tests(found, margin=MARGIN)
    assert (result.pairs, result.margin) == (4, MARGIN)
    assert result.mean == pytest.approx(0.04)
    error = found.std(ddof=1) / 2
    assert result.p_value == pytest.approx(stats.t.sf((MARGIN - 0.04) / error, 3))
    pairs = two_one_sided_tests(np.array([0.01, 0.02]), margin=MARGIN).pairs
    assert pairs == 2


@pytest.mark.parametrize(("difference", "p_value"), [(0.09, 0.0), (-0.1, 1.0), (0.1, 1.0)])
def test_equal_differences_are_certain(difference: float, p_value: float) -> None:
    """Without spread the tests have no doubt."""
    result = two_one_sided_tests(np.full(5, difference), margin=MARGIN)
    assert result.p_value == p_value
    assert result.mean == pytest.approx(difference)
