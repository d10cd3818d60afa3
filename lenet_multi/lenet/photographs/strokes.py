"""Choose the strokes of the digit among all ink."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs.ink import PHOTOGRAPH, THRESHOLD, TOUCHING, Array, Mask, frame
from lenet_multi.lenet.photographs.lines import (
    Box,
    is_box_around,
    is_line_below,
    without_ruled_lines,
)

_SPECK = 0.05  # of the largest stroke's area: smaller strokes are dirt
_FAINTEST = 0.1  # of the ink's level: the soft edge of a stroke
_FAINT = 0.17  # of the ink's level: a stroke under a gleam of light
_MOST_FAINT = 0.35  # of the strokes' area: more that is faint is no stroke
_NEAR = 0.05  # of the side: faint strokes are as near to the others
_WIDE, _TALL = 1.25, 0.5  # of the height: ink that is wider, and its parts, are several digits
_COMMON = 0.5  # of the narrower part's width: parts that share more are of one digit


def of_digit(ink: Array) -> Mask:
    """Return the mask (H, W) of the digit's pixels, with their soft edge.

    It leaves out specks, a box around the digit, a line below it, and what touches the frame if
    the rest holds more than half of the ink.
    """
    parts, count = ndimage.label(ink > THRESHOLD, TOUCHING)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    kept = _without_lines(parts, _without_specks(areas, areas > 0), areas)
    touching = np.isin(np.arange(count + 1), frame(parts))
    inside = kept & ~touching
    if 2 * areas[inside].sum() > areas[kept].sum():
        kept = inside
    strokes = _with_faint_strokes(kept[parts], ink)
    return np.asarray(ndimage.binary_dilation(strokes, TOUCHING) & (ink > _FAINTEST))


def _without_specks(areas: NDArray[np.intp], kept: Mask) -> Mask:
    return np.asarray(kept & (areas >= max(1, _SPECK * areas[kept].max())))


def _without_lines(parts: NDArray[np.int32], kept: Mask, areas: NDArray[np.intp]) -> Mask:
    """Return which parts are kept, without a box around others and a line below them."""
    boxes = [None, *ndimage.find_objects(parts)]

    def others(number: np.intp) -> list[Box]:
        return [boxes[other] for other in np.flatnonzero(kept) if other != number]

    for number in np.flatnonzero(kept):
        box = boxes[number]
        if is_box_around(parts[box] == number, box, others(number)):
            kept[number] = False
    kept = _without_specks(areas, kept)
    for number in np.flatnonzero(kept):
        if is_line_below(boxes[number], others(number)):
            kept[number] = False
    return kept


def _with_faint_strokes(strokes: Mask, ink: Array) -> Mask:
    """Return `strokes` with fainter ink that continues them near their box, if it is little."""
    side = max(ink.shape)
    if side < PHOTOGRAPH:
        return strokes
    near = max(2, round(_NEAR * side))
    ((rows, columns),) = ndimage.find_objects(strokes.astype(np.uint8))
    faint = np.zeros_like(strokes)
    box = (
        slice(max(0, rows.start - near), rows.stop + near),
        slice(max(0, columns.start - near), columns.stop + near),
    )
    faint[box] = without_ruled_lines(ink, _FAINT)[box] > _FAINT
    grown = ndimage.binary_propagation(strokes, TOUCHING, mask=faint | strokes)
    return grown if grown.sum() <= (1 + _MOST_FAINT) * strokes.sum() else strokes


def refuse_several(digit: Array) -> None:
    """Raise `UserError` when parts of wide ink stand side by side and are about as tall: digits."""
    height, width = digit.shape
    parts, _ = ndimage.label(digit > THRESHOLD, TOUCHING)
    heights = [bottom - top for top, bottom, _, _ in _side_by_side(ndimage.find_objects(parts))]
    tall = sum(each >= _TALL * max(heights) for each in heights)
    if tall > 1 and width > _WIDE * height:
        raise UserError(f"{tall} digits are drawn on it; give an image of each digit")


def _side_by_side(boxes: list[Box]) -> list[tuple[int, int, int, int]]:
    """Return top, bottom, left and right of groups of boxes that stand above each other.

    A box joins the group at its left if the narrower of both lies mostly under the other.
    """
    groups: list[tuple[int, int, int, int]] = []
    for rows, columns in sorted(boxes, key=lambda box: int(box[1].start)):
        box = rows.start, rows.stop, columns.start, columns.stop
        if groups:
            top, bottom, left, right = groups[-1]
            common = min(right, box[3]) - max(left, box[2])
            if common > _COMMON * min(right - left, box[3] - box[2]):
                groups[-1] = min(top, box[0]), max(bottom, box[1]), left, max(right, box[3])
                continue
        groups.append(box)
    return groups
