from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs import strokes


def test_strokes_are_what_is_large_and_inside() -> None:
    """Specks and what touches the edges are left out; a stroke has its soft edge."""
    ink = np.zeros((12, 30), np.float32)
    ink[1, 5] = 0.1  # too faint for a soft edge
    ink[8, 12] = 0.2  # the soft edge of a corner
    ink[2:8, 15:18] = 0.35  # too faint for a stroke
    ink[10, 27] = 0.2  # nor is this one
    ink[2:8, 2:12] = 1  # 60 pixels
    ink[8, 2:12] = 0.2  # its soft edge
    ink[9, 2:12] = 0.2  # no more of it
    ink[8:11, 13] = 1  # a twentieth as large
    ink[3, 20:22] = 1  # a speck
    ink[0:4, 25:30] = 1  # touches the edge
    wanted = np.zeros(ink.shape, bool)
    wanted[2:9, 2:12] = True
    wanted[8, 12] = True
    wanted[8:11, 13] = True
    np.testing.assert_array_equal(strokes.of_digit(ink), wanted)
    assert strokes.of_digit(ink[:, 22:]).sum() == 20  # where all touch the edge
    dot = np.zeros((5, 5), np.float32)
    dot[2, 2] = 1
    np.testing.assert_array_equal(strokes.of_digit(dot), dot == 1)


@pytest.mark.parametrize("edge", [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]])
def test_a_stroke_at_any_edge_is_left_out(edge: Any) -> None:
    """A stroke of one pixel's width that lies along the edge is no part of the digit."""
    ink = np.zeros((12, 12), np.float32)
    ink[4:8, 4:8] = 1
    wanted = ink == 1
    ink[edge][3:9] = 1
    np.testing.assert_array_equal(strokes.of_digit(ink), wanted)


def test_a_diagonal_stroke_is_one() -> None:
    """Its pixels touch at their corners, so that all of it is left out at the edge."""
    ink = np.zeros((12, 12), np.float32)
    ink[2:5, 8:11] = 1
    wanted = ink == 1
    np.fill_diagonal(ink[4:, :], 1)  # from the left edge to the lower one
    np.testing.assert_array_equal(strokes.of_digit(ink), wanted)


def blocks(*heights: int, gap: int = 6, width: int = 8) -> NDArray[np.float32]:
    """Return ink in blocks side by side, 20 pixels high at most, with gaps between them."""
    digit = np.zeros((20, (width + gap) * len(heights)), np.float32)
    for place, height in enumerate(heights):
        digit[20 - height :, place * (width + gap) :][:, :width] = 1
    return digit[:, : digit.shape[1] - gap]


@pytest.mark.parametrize(
    ("digit", "count"),
    [
        (blocks(17, 8, 17), 2),
        (0.35 * blocks(20, 20, gap=10), None),
        (blocks(20, 20), None),  # 22 wide
        (blocks(20, 20, gap=9), None),  # as wide as one may be
        (blocks(20, 20, gap=10), 2),
        (blocks(20, 10, 20), 3),
        (blocks(20, 9, 20), 2),
        (blocks(20, 9, 9), None),
        (blocks(20, width=60), None),
        (0.36 * blocks(20, 20, gap=10), 2),
        (0.34 * blocks(20, 20, gap=10), None),
    ],
    ids=[
        *("below the limit", "at the threshold", "narrow", "limit", "two", "three"),
        *("a speck", "a tall one", "a bar", "grey", "faint"),
    ],
)
def test_wide_ink_with_gaps_is_several_digits(
    digit: NDArray[np.float32], count: int | None
) -> None:
    """Parts that are at least half as high as the highest one are digits."""
    if count is None:
        strokes.refuse_several(digit)
        return
    words = f"^{count} digits are drawn on it; give an image of each digit$"
    with pytest.raises(UserError, match=words):
        strokes.refuse_several(digit)


def test_a_part_at_the_edge_stays_if_it_holds_most_of_the_ink() -> None:
    """A digit whose foot is cut stays; the stroke inside alone would be another digit."""
    ink = np.zeros((20, 20), np.float32)
    ink[4:20, 4:8] = 1  # 64 pixels, at the lower edge
    ink[5:15, 12:15] = 1  # 30 pixels inside
    np.testing.assert_array_equal(strokes.of_digit(ink), ink == 1)
    ink[5:15, 12:19] = 1  # 70 pixels inside
    assert not strokes.of_digit(ink)[:, :10].any()


def test_a_box_and_a_line_are_no_strokes() -> None:
    """Only the digit in the box and above the line is left."""
    ink = np.zeros((100, 100), np.float32)
    ink[30:60, 45:52] = 1
    wanted = ink == 1
    ink[66:70, 35:65] = 1
    ink[10:90, 10:90][[0, 1, -1, -2]] = 1
    ink[10:90, [10, 11, 88, 89]] = 1
    np.testing.assert_array_equal(strokes.of_digit(ink), wanted)


def test_a_stroke_under_a_gleam_is_one() -> None:
    """Fainter ink that continues the strokes belongs to them, unless it is too much or apart."""
    ink = np.zeros((100, 100), np.float32)
    ink[20:60, 40:50] = 1
    ink[60:64, 40:50] = 0.2
    ink[20:30, 80:90] = 0.2
    wanted = ink > 0
    wanted[:, 80:] = False
    np.testing.assert_array_equal(strokes.of_digit(ink), wanted)
    ink[60:80, 30:60] = 0.2
    assert strokes.of_digit(ink)[:, 30].sum() == 0


def test_slanted_digits_are_several() -> None:
    """They share less than half of the narrower one's columns; parts above each other are one."""
    digit = np.zeros((20, 30), np.float32)
    for row in range(20):
        digit[row, 8 - row // 3 : 13 - row // 3] = 1
        digit[row, 20 - row // 3 : 25 - row // 3] = 1
    with pytest.raises(UserError, match=r"^2 digits"):
        strokes.refuse_several(digit)
    above = np.zeros((20, 30), np.float32)
    above[:9] = above[11:] = 1
    strokes.refuse_several(above)
