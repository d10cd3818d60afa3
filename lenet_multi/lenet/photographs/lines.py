"""Take lines out of ink that are no digit's: those of ruled paper, of a box, below the digit."""

import numpy as np
from scipy import ndimage

from lenet_multi.lenet.photographs.ink import PHOTOGRAPH, THRESHOLD, TOUCHING, Array, Mask

Box = tuple[slice, slice]  # of rows and columns

_ACROSS = [[0, 1, 0], [0, 1, 0], [0, 1, 0]]  # runs of a column

_STRAIGHT = 0.25  # of the width: a line is straight over so much of it
_FULL = 0.93  # of the width: ruled lines cross the picture
_THICKEST = 0.05  # of the height: ruled lines are thinner
_CROSSING = 1.8  # of a line's thickness: a stroke across it is longer

_SLACK = 0.1  # of a box's side: how far its edge wanders
_OPEN = 0.1  # of a box's ink, at most, is inside it
_CLOSED = 0.75  # of each side of a box is drawn
_FLAT = 3  # times as wide as high: a line below the digit
_WIDER = 1.1  # times as wide as the digit: the lower stroke of a broken 5 is not
_MOSTLY_FLAT = 0.4  # of the line's width: the least height of the digit above it


def without_ruled_lines(ink: Array, level: float = THRESHOLD) -> Array:
    """Return `ink` (H, W) without straight lines above `level` across the whole picture."""
    if min(ink.shape) < PHOTOGRAPH:
        return ink
    strokes = ink > level
    across = _ruled(strokes)
    lines = across | _ruled((strokes & ~across).T).T
    return np.where(lines, 0, ink) if lines.any() else ink


def _ruled(strokes: Mask) -> Mask:
    """Return which pixels of `strokes` belong to rows of ink from the left to the right edge.

    A stroke that crosses such a line stays whole: the run of ink in its column is longer than the
    line is thick.
    """
    height, width = strokes.shape
    straight = ndimage.binary_opening(strokes, np.ones((1, max(3, int(_STRAIGHT * width)))))
    if not straight.any():
        return np.zeros_like(strokes)
    parts, _ = ndimage.label(ndimage.binary_dilation(straight, TOUCHING) & strokes)
    runs, count = ndimage.label(strokes, _ACROSS)
    lengths = np.bincount(runs.ravel(), minlength=count + 1)
    lines = np.zeros_like(strokes)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        line = parts[box] == number
        thickness = np.median(line.sum(axis=0)[line.any(axis=0)])
        if line.shape[1] < _FULL * width or thickness > _THICKEST * height:
            continue
        crossed = np.unique(runs[box][line])
        lines |= np.isin(runs, crossed[lengths[crossed] <= _CROSSING * thickness + 2])
    return lines


def is_box_around(part: Mask, box: Box, others: list[Box]) -> bool:
    """Return whether `part`, which lies in `box`, is a drawn box with one of `others` in it."""
    if not any(_is_inside(other, box) for other in others):
        return False
    height, width = part.shape
    rows, columns = max(2, round(_SLACK * height)), max(2, round(_SLACK * width))
    if part[rows:-rows, columns:-columns].sum() > _OPEN * part.sum():
        return False
    drawn = (
        *(part[:rows].any(axis=0).mean(), part[-rows:].any(axis=0).mean()),
        *(part[:, :columns].any(axis=1).mean(), part[:, -columns:].any(axis=1).mean()),
    )
    return bool(min(drawn) >= _CLOSED)


def _is_inside(one: Box, other: Box) -> bool:
    return all(
        outer.start < inner.start and inner.stop < outer.stop
        for inner, outer in zip(one, other, strict=True)
    )


def is_line_below(box: Box, others: list[Box]) -> bool:
    """Return whether what lies in `box` is flat, below the digit in `others`, and wider than it."""
    if not others:
        return False
    height, width = (int(side.stop - side.start) for side in box)
    top, left = (min(other[axis].start for other in others) for axis in range(2))
    bottom, right = (max(other[axis].stop for other in others) for axis in range(2))
    return bool(
        width >= max(_FLAT * height, _WIDER * (right - left))
        and box[0].start > bottom
        and bottom - top > max(2 * height, _MOSTLY_FLAT * width)
    )
