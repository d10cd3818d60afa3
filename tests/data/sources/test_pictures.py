import numpy as np
import pytest

from lenet_multi.data.sources.pictures import stack
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
