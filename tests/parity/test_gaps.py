import numpy as np
import pytest

from lenet_multi.parity.gaps import in_entries


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([[0.0, 1.0]], [[0.0, 2.0]], "1 of 2 entries differ, largest at (0, 1)"),
        ([[1.0], [2.0]], [[1.0], [2.0]], "0 of 2 entries differ, largest at (0, 0)"),
        ([4.5, 1.0, -8.0], [4.0, 1.0, -8.0], "0 of 3 entries differ, largest at (0)"),
        ([5.0, 1.0, -8.0], [4.0, 1.0, -8.0], "0 of 3 entries differ, largest at (0)"),
        ([3.0, 2.5, -6.0], [4.0, 1.0, -8.0], "2 of 3 entries differ, largest at (2)"),
        ([1.0, np.nan, 9.0], [1.0, 1.0, 1.0], "2 of 3 entries differ, largest at (1)"),
        ([1.0], [1.0, 2.0], "of shapes (1,) and (2,)"),
        (5.0, 7.0, "1 of 1 entries differ, largest at ()"),
        (np.zeros(2000), np.arange(2000), "1,750 of 2,000 entries differ, largest at (1999)"),
    ],
    ids=[
        *("one", "none", "small", "at the limit", "large", "no number", "shapes", "scalar"),
        "many",
    ],
)
def test_entries_that_differ_are_counted(first: object, second: object, words: str) -> None:
    """An entry differs by more than an eighth of the largest one; the largest gap has its place."""
    assert in_entries(np.array(first), np.array(second), 1 / 8) == words
