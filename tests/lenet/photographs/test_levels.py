import numpy as np
import pytest

from lenet_multi.lenet.photographs import levels


@pytest.mark.parametrize(
    ("light", "has_two"),
    [
        ([0, 255, 255], True),
        ([7, 7, 19], True),
        ([7, 7, 18], False),
        ([0, 100, 200], False),  # 75 % of the variance
        ([0, 0, 100, 200, 200], True),  # 83 %
        ([*[0] * 4, *[100] * 3, *[200] * 4], False),  # 79 %
        ([0, 60, 120, 180, 240], False),
        ([9], False),
    ],
    ids=["two", "just enough", "too faint", "three", "mostly two", "almost", "ramp", "one pixel"],
)
def test_two_levels_are_ground_and_ink(light: list[int], *, has_two: bool) -> None:
    """The best threshold must explain 80 % of the variance."""
    assert levels.has_two(np.array([light[::-1]], np.float32)) is has_two


@pytest.mark.parametrize(
    ("light", "threshold", "share"),
    [([9, 0, 0, 9], 0, 1), ([0, 1, 8, 9], 1, 64 / 65), ([5, 5, 5], 5, 0)],
    ids=["two", "four", "even"],
)
def test_the_threshold_parts_dark_from_bright(
    light: list[float], threshold: float, share: float
) -> None:
    """Higher levels are bright; the share of the variance between both parts is Otsu's measure."""
    found, explained = levels.threshold(np.array([light], np.float32))
    assert found == threshold
    assert explained == pytest.approx(share)
