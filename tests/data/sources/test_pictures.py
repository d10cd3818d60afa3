import numpy as np
import pytest

from lenet_multi.data.sources.pictures import stack
from lenet_multi.errors import UserError


def test_pairs_become_arrays() -> None:
    """Stacked images keep their order, dtype and labels."""
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    stacked, labels = stack(zip(images, [7, 0, 5], strict=True), 3, "train")
    np.testing.assert_array_equal(stacked, images)
    assert stacked.dtype == np.uint8
    assert list(labels) == [7, 0, 5]


def test_no_pairs_are_refused() -> None:
    """An empty split is refused, and the error names it."""
    with pytest.raises(UserError, match="its split test is empty"):
        stack([], 0, "test")
