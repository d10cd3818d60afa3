"""Turn a photograph or a drawing of a digit into an image like MNIST's."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lenet_multi.errors import UserError, by
from lenet_multi.lenet.photographs import cut, files, ink, levels, lines, paper, strokes
from lenet_multi.lenet.photographs.ink import Array
from lenet_multi.lenet.photographs.placing import SIDE, placed

_MARGIN = 0.4  # of the strokes' longer side: the margin of the crop for the second search


class OnlyLinesError(UserError):
    """A picture shows ruled lines and nothing else."""


def read_input(source: Path | BinaryIO, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the digit in an image file as uint8 of `shape`, square; raise `UserError`."""
    height, _, channels = shape
    image = files.read(source, name=name)
    try:
        digit = prepare(image, height)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return np.repeat(digit[..., np.newaxis], channels, axis=-1)


def prepare(image: Image.Image, side: int = SIDE) -> NDArray[np.uint8]:
    """Return the digit on `image` in MNIST's style: (side, side) uint8, ink 255 on 0.

    Any size and mode will do, and ink darker or lighter than the ground. Raises `UserError` when
    nothing is drawn on it, or several digits.
    """
    if not all(image.size):
        raise UserError("it has no pixels; give another image")
    size, is_tiny = image.size, max(image.size) < ink.LEAST_SIDE
    image = cut.with_margin(paper.alone(files.plain(image)))
    try:
        digit = find(image)
    except OnlyLinesError:
        raise
    except UserError as error:
        digit = _in_few_pixels(image, size, error)
    strokes.refuse_several(digit)
    return placed(digit, side, blurred=is_tiny)


def find(image: Image.Image) -> Array:
    """Return the ink of the strokes (H, W) on RGB, without the ground around them."""
    digit, box = _look(image)
    if 2 * max(box[2] - box[0], box[3] - box[1]) < max(image.size):
        digit, _ = _look(image.crop(box))  # a closer crop is finer and more evenly lit
    return digit


def _look(image: Image.Image) -> tuple[Array, tuple[int, int, int, int]]:
    """Return the strokes' ink (H, W), and the box around them: left, top, right, bottom."""
    found = lines.without_ruled_lines(ink.over_ground(ink.reduced(image)))
    if found.max() <= ink.THRESHOLD:
        raise OnlyLinesError("only ruled lines are drawn on it; give an image of a digit")
    chosen = strokes.of_digit(found)
    ((rows, columns),) = ndimage.find_objects(chosen.astype(np.uint8))
    unit = max(image.size) / max(found.shape)
    margin = _MARGIN * max(rows.stop - rows.start, columns.stop - columns.start)
    box = (
        max(0, int((columns.start - margin) * unit)),
        max(0, int((rows.start - margin) * unit)),
        min(image.width, int((columns.stop + margin) * unit) + 1),
        min(image.height, int((rows.stop + margin) * unit) + 1),
    )
    return np.where(chosen, found, 0)[rows, columns], box


def _in_few_pixels(image: Image.Image, size: tuple[int, int], error: UserError) -> Array:
    """Return the ink in an image that is tiny or inked up to its edges; else raise `error`.

    The user's image had the `size`.
    """
    pixels = ink.reduced(image)
    light = pixels.mean(axis=2)
    is_tiny = max(image.size) < ink.LEAST_SIDE and np.ptp(light) >= ink.LEAST_CONTRAST
    if not is_tiny and not levels.has_two(light):
        raise error
    try:
        return find(cut.enlarged(image, pixels))
    except UserError:
        raise UserError(
            f"no digit stands out in its {by(size)} pixels; give a larger image, with a "
            "margin around the digit"
        ) from error
