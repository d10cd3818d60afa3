import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet_multi.data.metrics import (
    as_logits,
    as_probabilities,
    calibration,
    calibration_error,
    confusion_matrix,
    count_correct,
    cross_entropies,
    cross_entropy,
    errors,
    worst_first,
)

logit_arrays = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 20), st.just(4)), elements=st.floats(-100, 100, width=32)
)


def test_every_image_is_counted() -> None:
    """An answer is right if the largest logit is at the label."""
    logits = np.array([[1, 2], [3, 0], [0, 5]], np.float32)
    assert count_correct(logits, np.array([1, 1, 1], np.uint8)) == 2


def test_confusions_are_counted() -> None:
    """Rows are labels, columns are answers, and every image is counted once."""
    logits = np.array([[9, 0, 0], [0, 9, 0], [0, 9, 0], [0, 9, 0]], np.float32)
    counts = confusion_matrix(logits, np.array([0, 1, 2, 2], np.uint8))
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 2, 0]]


def test_equal_logits_cost_the_log_of_the_classes() -> None:
    """Equal logits of ten classes cost log(10) nats."""
    loss = cross_entropy(np.zeros((3, 10), np.float32), np.zeros(3, np.uint8))
    assert math.isclose(loss, math.log(10), rel_tol=1e-15)


def test_a_confident_mistake_costs_its_logit() -> None:
    """Logits [30, 0, 0] with label 1 cost 30 nats: the loss is not clipped."""
    loss = cross_entropy(np.array([[30, 0, 0]], np.float32), np.array([1], np.uint8))
    assert math.isclose(loss, 30, rel_tol=1e-12)


@given(logits=logit_arrays, shift=st.sampled_from([-64.0, 64.0, 1024.0]))
def test_a_constant_added_to_all_logits_changes_nothing(logits: np.ndarray, shift: float) -> None:
    """Cross-entropy depends only on differences of logits, and never overflows."""
    labels = np.zeros(len(logits), np.uint8)
    moved = logits.astype(np.float64) + shift
    assert math.isclose(
        cross_entropy(moved, labels),  # type: ignore[arg-type]
        cross_entropy(logits, labels),
        rel_tol=1e-9,
        abs_tol=1e-9,
    )


@given(logit_arrays)
def test_logits_become_probabilities(logits: np.ndarray) -> None:
    """Softmax rows sum to 1 and keep their largest class; rows that sum to 1 are unchanged."""
    shares = as_probabilities(logits)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares[np.arange(len(shares)), logits.argmax(axis=1)] == shares.max(axis=1)).all()
    np.testing.assert_array_equal(as_probabilities(shares.astype(np.float32)), shares.astype("f4"))


def test_probabilities_become_logits() -> None:
    """Probabilities become logits whose softmax gives them back, 0 included; logits stay."""
    shares = np.array([[0.25, 0.75, 0], [1, 0, 0]], np.float32)
    np.testing.assert_allclose(as_probabilities(as_logits(shares)), shares, atol=1e-7)
    logits = np.array([[0.25, 3, 0]], np.float32)
    assert as_logits(logits) is logits


def test_each_answer_is_at_its_label() -> None:
    """Rows are labels, columns are answers."""
    logits = np.eye(3, dtype=np.float32)[[0, 2, 2, 1]]
    matrix = confusion_matrix(logits, np.array([0, 2, 1, 1], np.uint8))
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_each_of_several_outputs_has_its_errors() -> None:
    """The name of an output is in front; an output without targets of its size has no errors."""
    outputs = {"b": np.ones((2, 1)), "a": np.zeros((2, 1)), "c": np.ones((2, 3)), "d": np.ones(2)}
    targets = {"b": np.zeros(2), "a": np.full((2, 1), 3.0), "c": np.zeros(2)}
    assert errors(outputs, targets) == {
        "a_mean_squared_error": 9.0,
        "a_mean_absolute_error": 3.0,
        "b_mean_squared_error": 1.0,
        "b_mean_absolute_error": 1.0,
    }


def test_a_rounding_of_bfloat16_is_no_logit() -> None:
    """Rows that sum to 1 within a hundredth are probabilities, unless a number is negative."""
    for sure in ([[0.5, 0.509]], [[0.5, 0.5], [0.25, 0.75]]):
        shares = np.array(sure, np.float32)
        assert as_logits(shares) is not shares
        assert as_probabilities(shares).dtype == np.float64
    for rows in ([[0.5, 0.52]], [[1.5, -0.5]], [[0.5, 0.5], [0.5, 3]]):
        logits = np.array(rows, np.float32)
        assert as_logits(logits) is logits


def test_the_worst_answers_come_first() -> None:
    """Of the wrong ones, at most so many, the worst first; of equals the first in the data."""
    wrong = np.array([True, False, True, True])
    badness = np.array([1.0, 9.0, 3.0, 3.0])
    assert worst_first(wrong, badness, 9).tolist() == [2, 3, 0]
    assert worst_first(wrong, badness, 2).tolist() == [2, 3]


def test_rows_far_apart_do_not_disturb_each_other() -> None:
    """Each row is shifted by its own largest logit, so that none overflows or vanishes."""
    logits = np.array([[0, 0], [2000, 2000], [-2000, -2000]], np.float32)
    labels = np.zeros(3, np.uint8)
    np.testing.assert_allclose(cross_entropies(logits, labels), np.log(2))
    np.testing.assert_array_equal(as_probabilities(logits), np.full((3, 2), 0.5))


def test_no_outputs_have_no_probabilities() -> None:
    """Of no images there are none, and no error."""
    assert as_probabilities(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_a_lone_output_has_errors_without_a_name() -> None:
    """The errors are the mean of the squared and of the absolute differences."""
    found = errors(np.array([[1.0], [5.0], [2.0]], np.float32), np.array([3, 2, 2]))
    assert found == {
        "mean_squared_error": pytest.approx(13 / 3),
        "mean_absolute_error": pytest.approx(5 / 3),
    }


def test_equally_bad_answers_keep_their_order() -> None:
    """However many they are."""
    badness = np.tile([2.0, 1.0], 50)
    found = worst_first(np.ones(100, bool), badness, 100)
    assert found.tolist() == [*range(0, 100, 2), *range(1, 100, 2)]


def test_calibration_counts_by_confidence() -> None:
    """Each image is in the bin of its largest probability, with whether its answer is right."""
    outputs = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0, 1]], np.float32)
    found = calibration(outputs, np.array([0, 1, 1, 1], np.uint8), bins=4)
    wanted = np.array([[0, 0, 0], [0, 0, 0], [1, 0.55, 1], [3, 2.7 / 3, 2 / 3]])
    np.testing.assert_allclose(found, wanted, atol=1e-6)  # outputs are float32


def test_the_calibration_error_is_the_mean_gap() -> None:
    """Guo's error weighs the gap of each bin by its images."""
    outputs = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0, 1]], np.float32)
    found = calibration_error(outputs, np.array([0, 1, 1, 1], np.uint8))
    # In 15 bins each image is alone: gaps of 0.1, 0.8, 0.45 and 0.
    assert found == pytest.approx((0.1 + 0.8 + 0.45 + 0) / 4, abs=1e-6)
    assert calibration(outputs, np.zeros(4, np.uint8)).shape == (15, 3)
    assert calibration(outputs[2:3], np.zeros(1, np.uint8), bins=4).tolist()[3] == [0, 0, 0]


@given(logit_arrays)
def test_confident_right_answers_are_calibrated(logits: Any) -> None:
    """Answers that are always right have an error of one minus their mean confidence."""
    probabilities = as_probabilities(logits)
    labels, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    assert calibration_error(logits, labels) == pytest.approx(1 - confidence.mean(), abs=1e-9)
