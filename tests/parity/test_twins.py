from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenet_multi.parity import twins
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.twins import Band, Course
from lenet_multi.runs import tolerances

FACTOR = tolerances.TWINS.value


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_ulp_is_the_next_float(dtype: type) -> None:
    """Every entry moves to a neighbouring float, some up and some down."""
    weights: list[NDArray[Any]] = [
        np.array([-1.5, 0.0, 1e-3, 7.0] * 50, dtype),
        np.zeros(20, dtype),
    ]
    moved = twins.one_ulp_off(weights, seed=0)
    for before, after in zip(weights, moved, strict=True):
        assert after.dtype == dtype
        up, down = (np.nextafter(before, dtype(end)) for end in (np.inf, -np.inf))
        assert np.all((after == up) | (after == down))
        assert np.any(after == up)
        assert np.any(after == down)


def test_no_two_twins_are_alike() -> None:
    """Twins differ within a backend and between backends, but are the same in every climb."""
    weights = [np.ones(50, np.float32)]
    drawn = {
        (seed, climber): twins.one_ulp_off(weights, seed=seed, climber=climber)[0].tobytes()
        for seed in (1, 2)
        for climber in ("jax", "torch")
    }
    assert len(set(drawn.values())) == 4
    assert drawn[1, "jax"] == twins.one_ulp_off(weights, seed=1, climber="jax")[0].tobytes()


def course(start: float, *weights: float) -> Course:
    """Return a course of one tensor with one weight, after the steps 1, 2, ..."""
    kept = {step: [np.array([weight])] for step, weight in enumerate(weights, 1)}
    return Course(start=[np.array([start])], weights=kept)


def test_a_twin_is_measured_by_how_it_moved() -> None:
    """A twin's gap compares movements, not positions; after its end it has no gaps."""
    evidence = Evidence("jax", "")
    twin, short = course(1.5, 2.5, 3.75), course(1.0, 2.0)
    twins.file_weights(evidence, "L3/SGD", ["bias"], course(1.0, 2.0, 3.0), twin, short)
    filed = {name: list(found) for name, found in evidence.arrays.items()}
    assert filed == {
        "L3/SGD/1/bias": [2.0],
        "L3/SGD/2/bias": [3.0],
        "twins/L3/SGD/1/bias": [0, 0],
        "twins/L3/SGD/2/bias": [0.125],
    }


def filed(weights: dict[int, list[float]], losses: list[list[float]]) -> Evidence:
    """Return the evidence of a backend whose twins have these gaps."""
    arrays = {f"twins/L4/weights/{step}/bias": np.array(gaps) for step, gaps in weights.items()}
    return Evidence("jax", "", arrays={**arrays, "twins/L4/losses": np.array(losses)})


def test_the_band_is_the_largest_gap_of_either_backend_so_far() -> None:
    """The band is the largest gap of any twin so far, at least one float32 epsilon for losses.

    A twin that has ended adds nothing.
    """
    first = filed({}, [[0.0, 2e-3, 1e-3], [1e-3, np.nan, np.nan]])
    second = filed({}, [[0.0, 0.0, 3e-3]])
    assert list(Band((first, second)).of_losses("L4/losses", 3)) == [1e-3, 2e-3, 3e-3]
    eps = np.finfo(np.float32).eps
    assert list(Band((second,)).of_losses("L4/losses", 3)) == [eps, eps, 3e-3]


@given(
    gaps=st.lists(st.floats(1e-6, 1), min_size=2, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_the_band_does_not_ask_which_twin_came_last(gaps: list[float], order: Random) -> None:
    """Every limit comes from the largest gap of all twins, in any order."""
    order.shuffle(gaps)
    band = Band((filed({1: gaps}, [[gap] for gap in gaps]),))
    assert list(band.of_losses("L4/losses", 1)) == [max(gaps)]
    assert band.limit_of_gap("L4/weights/1/bias") == FACTOR * max(gaps)
    assert band.limits_of_weights("L4/weights", {"1/bias": 0.0}) == {"1/bias": FACTOR * max(gaps)}


def test_a_pair_is_held_to_the_band_at_twice_the_step() -> None:
    """A pair's limit at a step is the band at twice that step, tensor by tensor.

    Chance decides at which step two trainings start to differ.
    """
    band = Band((filed({1: [1e-6, 3e-6], 2: [1e-6], 5: [4e-3]}, [[1e-6, 2e-6, 3e-6, 4e-6]]),))
    places = ("1/bias", "2/bias", "3/bias", "5/bias", "5/kernel")
    limits = band.limits_of_weights("L4/weights", dict.fromkeys(places, 0.0))
    assert [limits[name] / FACTOR for name in places] == pytest.approx([3e-6, 3e-6, 4e-3, 4e-3, 0])
    assert band.limits_of_losses("L4/losses", 4) / FACTOR == pytest.approx([2e-6, 4e-6, 4e-6, 4e-6])


def test_a_pair_is_not_held_closer_than_weights_are_rounded() -> None:
    """The limit is at least the rounding of the weights, even if no twin differs."""
    band = Band((filed({1: [0.0]}, [[0.0]]),))
    limits = band.limits_of_weights("L4/weights", {"1/bias": 1e-5})
    assert limits == {"1/bias": FACTOR * 1e-5}


def test_a_twin_that_diverged_widens_nothing() -> None:
    """A twin's gap of NaN or infinity does not widen the band; the other twins count."""
    band = Band((filed({1: [np.nan, 2e-5, np.inf]}, [[np.inf], [np.nan], [1e-6]]),))
    assert list(band.of_losses("L4/losses", 1)) == [1e-6]
    limits = band.limits_of_weights("L4/weights", {"1/bias": 1e-5})
    assert limits == {"1/bias": FACTOR * 2e-5}


def test_what_only_rounding_moves_is_a_null_tensor() -> None:
    """A gradient and a moving mean of pure rounding are found, a frozen mean is none of ours."""
    arrays = {
        "L2/initial/kernel": np.array([0.3, -0.2]),
        "L2/initial/bias": np.array([1e-18]),
        "L0/mean": np.zeros(1),
        "L2/initial/mean": np.array([1e-19]),
        "L0/variance": np.ones(1),
        "L2/initial/variance": np.array([0.99]),
    }
    record = {"state": ["mean", "variance"]}
    assert twins.null_tensors(Evidence("jax", "", arrays=arrays, record=record)) == {"bias", "mean"}


def test_rounding_grows_with_the_root_of_the_terms() -> None:
    """In float32 one rounding is half an epsilon, and a hundred terms are ten times as much."""
    unit = np.finfo(np.float32).eps / 2
    assert twins.rounding_limit("float32", 1) == tolerances.ROUNDING.value * unit
    assert twins.rounding_limit("float32", 100) == pytest.approx(10 * unit)
    assert twins.rounding_limit("float64", 100) < 1e-14


def test_whole_numbers_have_no_twin() -> None:
    """A counter stays; floats of a backend without a name are drawn for none."""
    counter, weight = np.array([3]), np.ones(50, np.float32)
    same, moved = twins.one_ulp_off([counter, weight], seed=0)
    assert same is counter
    assert moved.dtype == np.float32
    (unnamed,) = twins.one_ulp_off([weight], seed=0)
    (named,) = twins.one_ulp_off([weight], seed=0, climber="")
    np.testing.assert_array_equal(unnamed, named)


def test_gaps_of_outputs_are_shares_of_their_largest_entry() -> None:
    """Each twin's gap to the original is filed by the name of the output."""
    evidence = Evidence("jax", "")
    own = {"a": np.array([1.0, -4.0]), "b": np.array([2.0])}
    twin = {"a": np.array([1.5, -4.0]), "b": np.array([2.0])}
    other = {"a": np.array([1.0, -2.0]), "b": np.array([5.0])}
    twins.file_outputs(evidence, "L1/initial", own, twin, other)
    assert {name: found.tolist() for name, found in evidence.arrays.items()} == {
        "L1/initial/a": [1.0, -4.0],
        "twins/L1/initial/a": [0.125, 0.5],
        "L1/initial/b": [2.0],
        "twins/L1/initial/b": [0.0, 1.5],
    }


def test_gradients_have_the_gap_of_the_nearest_two() -> None:
    """Of the original and all its twins; without a twin there are none."""
    evidence = Evidence("jax", "")
    own, twin, other = ([np.array([value])] for value in (4.0, 5.0, 5.5))
    twins.file_gradients(evidence, "L2/initial", ["bias"], own, twin, other)
    assert {name: found.tolist() for name, found in evidence.arrays.items()} == {
        "L2/initial/bias": [4.0],
        "twins/L2/initial/bias": [0.25, 0.375],
        "nearest/L2/initial/bias": pytest.approx(0.5 / 5.5),
    }
    alone = Evidence("jax", "")
    twins.file_gradients(alone, "L2", ["bias"], own)
    assert list(alone.arrays) == ["L2/bias", "twins/L2/bias"]
    assert alone.arrays["twins/L2/bias"].size == 0
    with pytest.raises(ValueError, match="shorter"):
        twins.file_gradients(alone, "L2", ["bias", "kernel"], own)


def test_movements_are_measured_in_float64() -> None:
    """A movement of much less than the weight is not rounded to float32."""
    evidence = Evidence("jax", "")
    start = [np.array([1.0], np.float32)]
    far = np.nextafter(np.float32(1), np.float32(2))
    own = Course(start, weights={1: [np.array([far])]})
    twin = Course([np.array([-3e8], np.float32)], weights={1: [np.array([1.0], np.float32)]})
    twins.file_weights(evidence, "L3", ["bias"], own, twin)
    step = float(far) - 1
    (gap,) = evidence.arrays["twins/L3/1/bias"]
    assert gap == (300_000_001 - step) / step


def test_losses_have_gaps_until_a_twin_ends() -> None:
    """A loss of 0 that a twin has too has no gap, and any other an infinite one."""
    evidence = Evidence("jax", "")
    own = np.array([2.0, -4.0, 0.0, 0.0])
    twins.file_losses(evidence, "L4/losses", own, np.array([3.0, -3.0, 0.0, 1.0]), own[:2] * 2)
    assert evidence.arrays["L4/losses"] is own
    np.testing.assert_array_equal(
        evidence.arrays["twins/L4/losses"],
        [[0.5, 0.25, 0.0, np.inf], [1.0, 1.0, np.nan, np.nan]],
    )


@pytest.mark.filterwarnings("error")
def test_a_gap_of_nothing_is_none() -> None:
    """Also over nothing; a gap over nothing is infinite, and no warning is raised."""
    assert twins.over(0, 0) == twins.over(0.0, 5) == 0.0
    assert twins.over(1, 0) == np.inf
    assert twins.over(1, 4) == 0.25
    found = twins.relative(np.array([0.0, 1.0, -3.0]), np.array([0.0, 0.0, -4.0]))
    assert found.tolist() == [0.0, np.inf, 0.25]


def null(gradient: float, *, dtype: str = "f8", largest: float = 2.0) -> frozenset[str]:
    """Return the null tensors of a model with a gradient of this size, and a largest one."""
    arrays = {
        "L2/initial/kernel": np.array([0.1, -largest], dtype),
        "L2/initial/bias": np.array([gradient], dtype),
    }
    return twins.null_tensors(Evidence("jax", "", arrays=arrays))


def test_a_null_tensor_is_smaller_than_a_share_of_the_largest() -> None:
    """The share is coarser where only float32 was climbed, and is not reached by itself."""
    assert null(1.9e-7) == {"bias"}
    assert null(2e-7) == null(2.1e-7) == frozenset()
    assert null(-1.9e-7) == {"bias"}
    assert null(1.9e-5, dtype="f4") == {"bias"}
    assert null(2.1e-5, dtype="f4") == frozenset()
    assert null(1.9e-5) == frozenset()


def test_what_is_no_weight_is_judged_by_how_it_moves() -> None:
    """From where it began; without a beginning it has not moved."""
    arrays = {
        "L0/mean": np.array([5.0]),
        "L2/initial/mean": np.array([5.0]),
        "L0/variance": np.array([1.0]),
        "L2/initial/variance": np.array([0.9]),
        "L2/initial/seed": np.array([7.0]),
        "L2/initial/empty": np.zeros(0),
        "L2/initial/kernel": np.array([3.0]),
    }
    record = {"state": ["mean", "variance", "seed", "absent"]}
    evidence = Evidence("jax", "", arrays=arrays, record=record)
    assert twins.null_tensors(evidence) == {"mean", "seed", "empty"}


def test_a_band_without_twins_limits_nothing() -> None:
    """Where none is filed, no gap is allowed; a tensor's name may have a path."""
    band = Band((filed({1: [1e-6]}, [[1e-6]]),))
    assert band.covers("L4/losses")
    assert not band.covers("L3/losses")
    assert band.limit_of_gap("L2/initial/bias") == 0.0
    arrays = {
        "twins/L4/weights/1/block/bias": np.array([1e-6]),
        "twins/L4/weights/0/block/bias": np.array([1.0]),
    }
    deep = Band((Evidence("jax", "", arrays=arrays),))
    limits = deep.limits_of_weights("L4/weights", {"1/block/bias": 0.0})
    assert limits == {"1/block/bias": FACTOR * 1e-6}
