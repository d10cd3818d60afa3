"""Give a margin to a digit whose ink reaches the frame of the picture."""

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from lenet_multi.lenet.photographs import levels
from lenet_multi.lenet.photographs.ink import (
    PHOTOGRAPH,
    TOUCHING,
    WORKING_SIDE,
    Array,
    Mask,
    at_the_frame,
    frame,
    over_shadowed_ground,
    reduced,
)
from lenet_multi.lenet.photographs.lines import without_ruled_lines

_LEAST_SIDE = 4  # pixels: a smaller image has no digit and ground
_AT_THE_FRAME = 0.03  # of the frame, at least, is under the ink of a digit that reaches it
_MUCH = 0.3  # of the picture: with more ink, no border is left for the ground
_THICKEST = 0.24  # of the side: half of what is wide; one stroke in 700 is, among digits of MNIST


def with_margin(image: Image.Image) -> Image.Image:
    """Return an RGB image with a margin of its ground if its ink reaches the frame; else itself."""
    if min(image.size) < _LEAST_SIDE:
        return image
    pixels = reduced(image)
    light = pixels.mean(axis=2)
    threshold = levels.between_two(light)
    if threshold is None:
        return image
    inked = _ink(light > threshold)
    if not _fills_the_frame(inked) or _lies_in_a_shadow(image, pixels, inked):
        return image
    return enlarged(image, pixels[~inked])


def enlarged(image: Image.Image, ground: Array) -> Image.Image:
    """Return the image, enlarged if tiny, with a margin in the median of its `ground` (..., 3)."""
    colour = np.median(ground.reshape(-1, 3), axis=0)
    larger = -(-WORKING_SIDE // (4 * max(image.size)))
    if larger > 1:
        size = image.width * larger, image.height * larger
        image = image.resize(size, Image.Resampling.BICUBIC)
    return ImageOps.expand(image, max(image.size) // 2, fill=tuple(map(int, colour)))


def _ink(bright: Mask) -> Mask:
    """Return the ink (H, W), which is either `bright` or all the rest; ruled lines are none.

    Most corners are ground. If two of them are, ink has a smaller share of the frame than of all.
    """
    bright = ~_without_ruled_lines(~_without_ruled_lines(bright))
    corners = int(bright[[0, 0, -1, -1], [0, -1, 0, -1]].sum())
    if corners == 2:
        return bright if bright.mean() > frame(bright).mean() else ~bright
    return bright if corners < 2 else ~bright


def _without_ruled_lines(inked: Mask) -> Mask:
    return without_ruled_lines(inked.astype(np.float32)) > 0


def _fills_the_frame(inked: Mask) -> bool:
    """Return whether most ink is in strokes at the frame, or almost all is ink; no dark areas."""
    thickest = ndimage.distance_transform_edt(np.pad(inked, 1)).max() / max(inked.shape)
    parts, count = ndimage.label(inked, TOUCHING)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    touching = np.isin(np.arange(1, count + 1), frame(parts))
    reaches = (
        frame(inked).mean() >= _AT_THE_FRAME and 2 * areas[1:][touching].sum() >= areas[1:].sum()
    )
    return bool((reaches or inked.mean() >= _MUCH) and thickest < _THICKEST)


def _lies_in_a_shadow(image: Image.Image, pixels: Array, inked: Mask) -> bool:
    """Return whether most of `inked` at the frame is a shadow, so that the digit is whole."""
    if min(image.size) < PHOTOGRAPH:
        return False
    ink = over_shadowed_ground(pixels)
    return ink is not None and 2 * at_the_frame(ink) < frame(inked).mean()
