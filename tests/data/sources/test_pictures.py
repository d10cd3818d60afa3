import numpy as np
import pytest

from lenet_multi.data.sources.pictures import first_of, splits_of, stack
from lenet_multi.errors import UserError


def test_rows_become_arrays() -> None:
    """Stacked images keep their order, dtype and labels."""
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    rows = [{"y": y, "x": x} for x, y in zip(images, [7, 0, 5], strict=True)]
    stacked, labels = stack(rows, ("x", "y"), "train")
    np.testing.assert_array_equal(stacked, images)
    assert stacked.dtype == np.uint8
    assert list(labels) == [7, 0, 5]


def test_no_rows_are_refused() -> None:
    """An empty split is refused, and the error names it."""
    with pytest.raises(UserError, match="its split test is empty"):
        stack([], ("x", "y"), "test")


def test_a_refusal_is_one_whole_line() -> None:
    """It names the split, what is there, and what to do."""
    rows = [{"image": np.zeros((2, 3)), "label": 0}, {"image": np.zeros((2, 2)), "label": 0}]
    for call, words in (
        (
            lambda: stack([], ("image", "label"), "test"),
            "its split test is empty; choose another data set",
        ),
        (
            lambda: stack(rows, ("image", "label"), "train"),
            "the images of its split train differ in shape: number 1 is 2x2, the first 2x3; make "
            "them alike first",
        ),
        (
            lambda: splits_of(["unsplit", "all"]),
            "it must have a split train or test, but has unsplit, all",
        ),
        (
            lambda: first_of(int, {"a": "x", "b": 1.5}),
            "it must have a column of type int, but has a (str), b (float)",
        ),
    ):
        with pytest.raises(UserError) as refused:
            call()
        assert str(refused.value) == words


def test_a_feature_is_the_first_of_its_type() -> None:
    """Splits beyond the three are left alone."""
    assert first_of(int, {"a": "x", "b": 1, "c": 2}) == "b"
    assert splits_of(["validation", "test", "train", "extra"]).keys() == {
        *("train", "test", "validation")
    }
    assert splits_of(["test"]) == {"test": "test"}


def test_pixels_are_made_by_the_library() -> None:
    """Images keep their dtype, and labels their order."""
    rows = [{"image": 1, "label": 5}, {"image": 2, "label": 4}]
    images, labels = stack(
        rows, ("image", "label"), "train", lambda one: np.full((2, 2), one, "i2")
    )
    assert images.dtype == np.int16
    assert images[:, 0, 0].tolist() == [1, 2]
    assert labels.tolist() == [5, 4]
