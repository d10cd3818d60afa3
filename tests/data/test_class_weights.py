import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet_multi.data.class_weights import balanced
from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError


def weighted(y: object) -> tuple[list[float], dict[str, float]]:
    """Return the weights of examples with the targets `y`, and of their classes."""
    targets = np.asarray(y)
    found, by_class = balanced(Examples(np.zeros(len(targets)), targets))
    assert found.weights is not None
    assert found.weights.dtype == np.float32
    return found.weights.tolist(), by_class


def test_the_weights_are_those_of_scikit_learn() -> None:
    """The weights are those in the documentation of scikit-learn's `compute_class_weight`."""
    assert weighted([1, 1, 1, 1, 0, 0]) == ([0.75] * 4 + [1.5] * 2, {"0": 1.5, "1": 0.75})
    assert weighted([7, 7, 7, 2])[1] == pytest.approx({"2": 2, "7": 2 / 3})


@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_all_classes_weigh_the_same(labels: list[int]) -> None:
    """The weights of each class have the same sum, and all weights together have the sum N."""
    weights, by_class = weighted(labels)
    assert sum(weights) == pytest.approx(len(labels))
    for label, weight in by_class.items():
        assert weight * labels.count(int(label)) == pytest.approx(len(labels) / len(by_class))


@pytest.mark.parametrize(
    "y",
    [
        np.array([2, 0, 0], np.uint8),
        np.array([[2], [0], [0]], np.int64),
        np.array([2.0, 0.0, 0.0], np.float32),
        np.eye(3, dtype=np.float32)[[2, 0, 0]],
    ],
    ids=["labels", "column", "floats", "one-hot"],
)
def test_labels_come_in_the_shapes_that_keras_takes(y: object) -> None:
    """Labels in a row, in a column, of any dtype or one-hot get the same weights."""
    assert weighted(y) == ([1.5, 0.75, 0.75], {"0": 0.75, "2": 1.5})


def test_one_column_has_labels_and_two_are_one_hot() -> None:
    """A column of ones has one class, which is 1; two columns name the two classes."""
    assert weighted([[1], [1]]) == ([1.0, 1.0], {"1": 1.0})
    assert weighted(np.eye(2)[[0, 1, 1]]) == ([1.5, 0.75, 0.75], {"0": 1.5, "1": 0.75})


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.array([0.5, 1.0], np.float32), "the targets are float32; drop it"),
        (np.array([[0, 2, 1], [1, 0, 0]]), "the targets are int64 3; drop it"),
        (np.array([[1, 1, 0], [1, 0, 0]]), "the targets are int64 3; drop it"),
        (np.array([np.nan, 1.0]), "the targets are float64; drop it"),
        (np.zeros((2, 4, 4), np.uint8), "the targets are uint8 4x4; drop it"),
        ((np.zeros(2), np.zeros(2)), "weighs one target, not 2; drop it"),
    ],
    ids=["values", "sequences", "several labels", "nan", "pictures", "two targets"],
)
def test_targets_that_are_no_labels_are_refused(y: object, words: str) -> None:
    """Targets without one class for each example are refused with their dtype and shape."""
    with pytest.raises(UserError, match=f"--class-weights balanced .*{words}"):
        balanced(Examples(np.zeros(2), y))


def test_weights_stay_with_their_examples() -> None:
    """A part of the examples has the weights of that part."""
    found, _ = balanced(Examples(np.arange(4), np.array([0, 0, 0, 1])))
    assert found[2:].weights is not None
    assert found[2:].sides[2].tolist() == pytest.approx([2 / 3, 2])
    assert len(Examples(np.arange(4), np.arange(4)).sides) == 2
