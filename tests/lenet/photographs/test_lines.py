import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.lenet.photographs import lines
from lenet_multi.lenet.photographs.ink import Array
from lenet_multi.lenet.photographs.lines import Box

SIDE = 100


def ruled(*rows: int, width: int = SIDE, thick: int = 2) -> Array:
    """Return ink of lines across a page, from the left edge on."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    for row in rows:
        ink[row : row + thick, :width] = 1
    return ink


@pytest.mark.parametrize("down", [False, True], ids=["across", "down"])
def test_a_ruled_line_is_taken_out(*, down: bool) -> None:
    """A line from edge to edge goes; the stroke that crosses it stays whole."""
    ink = ruled(20, 50)
    ink[40:70, 45:53] = 1
    wanted = np.zeros_like(ink)
    wanted[40:70, 45:53] = 1
    if down:
        ink, wanted = ink.T, wanted.T
    np.testing.assert_array_equal(lines.without_ruled_lines(ink), wanted)


def test_squares_are_taken_out() -> None:
    """Lines in both directions go."""
    assert not lines.without_ruled_lines(np.maximum(ruled(20, 50), ruled(30, 70).T)).any()


@pytest.mark.parametrize(
    "ink",
    [ruled(40, width=92), ruled(40, thick=6), ruled(40, thick=2)[:47, :47], ruled(40) * 0.35],
    ids=["too short", "too thick", "of a small picture", "too faint"],
)
def test_other_ink_stays(ink: Array) -> None:
    """A line ends before the edge, or is as thick as a stroke, or the picture is no photograph."""
    np.testing.assert_array_equal(lines.without_ruled_lines(ink), ink)


def drawn_box(edge: int = 3) -> NDArray[np.bool_]:
    """Return a box of 60 by 50 pixels."""
    part = np.ones((60, 50), bool)
    part[edge:-edge, edge:-edge] = False
    return part


BOX: Box = (slice(10, 70), slice(20, 70))
INSIDE: Box = (slice(20, 60), slice(35, 55))


def test_a_box_around_the_digit_is_known() -> None:
    """Its four sides are drawn; a digit stands in it."""
    assert lines.is_box_around(drawn_box(), BOX, [INSIDE])


@pytest.mark.parametrize("side", [np.s_[:6], np.s_[-6:], np.s_[:, :6], np.s_[:, -6:]])
def test_an_open_box_is_none(side: tuple[slice, ...] | slice) -> None:
    """Without one of its sides it may be a digit."""
    part = drawn_box()
    part[side] = False
    assert not lines.is_box_around(part, BOX, [INSIDE])


def test_a_box_with_nothing_in_it_is_none() -> None:
    """Nor is one beside the digit, or one whose ink goes through its middle."""
    crossed = drawn_box()
    crossed[27:33] = True
    beside: Box = (slice(20, 60), slice(65, 80))
    assert not lines.is_box_around(drawn_box(), BOX, [])
    assert not lines.is_box_around(drawn_box(), BOX, [beside])
    assert not lines.is_box_around(crossed, BOX, [INSIDE])


@pytest.mark.parametrize(
    ("box", "others", "is_below"),
    [
        ((slice(80, 85), slice(10, 60)), [INSIDE], True),
        ((slice(80, 97), slice(10, 60)), [INSIDE], False),
        ((slice(58, 63), slice(10, 60)), [INSIDE], False),
        ((slice(5, 10), slice(10, 60)), [INSIDE], False),
        ((slice(80, 85), slice(10, 60)), [(slice(50, 69), slice(35, 55))], False),
        ((slice(80, 85), slice(10, 60)), [(slice(20, 60), slice(15, 61))], False),
        ((slice(80, 85), slice(10, 60)), [], False),
    ],
    ids=[
        "below",
        "too high",
        "through its foot",
        "above",
        "below a flat stroke",
        "no wider",
        "alone",
    ],
)
def test_a_line_below_the_digit_is_known(box: Box, others: list[Box], *, is_below: bool) -> None:
    """It is three times as wide as high, and the digit above it is tall."""
    assert lines.is_line_below(box, others) is is_below
