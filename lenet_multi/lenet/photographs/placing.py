"""Place ink as MNIST's authors did: 20x20 pixels, its centre of mass in the middle of 28x28."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lenet_multi.lenet.photographs.ink import Array

SIDE = 28  # of MNIST's images
_BOX = 20 / 28  # of the side: the box that the ink fills
_FINE = 4  # scale at which the strokes of small images are measured
_THINNEST = 1.5  # pixels of a 28x28 image: MNIST's thinnest strokes
_USUAL = 2.6  # pixels: the median of MNIST's strokes
_SOFT = 0.1, 0.9  # of the strongest ink: the edge of a stroke that few pixels show


def placed(
    digit: Array, side: int = SIDE, *, box: int | None = None, blurred: bool = False
) -> NDArray[np.uint8]:
    """Return the ink `digit` (H, W) in [0, 1] as (side, side) uint8, ink 255 on 0.

    Its longer side has `box` pixels, by default 20 of 28. If it comes from so few pixels that its
    strokes are `blurred`, they get the edges of MNIST's.
    """
    fitted = _fit(digit, box or round(side * _BOX))
    return _centred(_sharpened(fitted) if blurred else fitted, side)


def _sharpened(digit: Array) -> Array:
    low, high = _SOFT
    return np.asarray(np.clip((digit / digit.max() - low) / (high - low), 0, 1), np.float32)


def _fit(digit: Array, box: int) -> Array:
    """Return `digit` with its longer side scaled to `box`, and thin strokes widened."""
    fine = _scaled(digit, max(_FINE * box, *digit.shape))
    unit = max(fine.shape) / box
    inked = fine > fine.max() / 2
    # The mean distance to a band's edge is a quarter of its width.
    width = 4 * ndimage.distance_transform_edt(np.pad(inked, 1))[1:-1, 1:-1][inked].mean() / unit
    if width < _THINNEST:
        reach = (_USUAL - width) / 2 * unit
        outside = ndimage.distance_transform_edt(np.pad(~inked, int(reach), constant_values=True))
        digit = (outside <= reach).astype(np.float32)
    return _scaled(digit, box)


def _scaled(digit: Array, longer: int) -> Array:
    height, width = (max(1, round(length * longer / max(digit.shape))) for length in digit.shape)
    scaled = Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(scaled, np.float32), 0, 1)


def _centred(digit: Array, side: int) -> NDArray[np.uint8]:
    """Return (side, side) uint8 with the centre of mass of `digit` at the centre."""
    margins = []
    for centre, length in zip(ndimage.center_of_mass(digit), digit.shape, strict=True):
        before = int(np.clip(round(side / 2 - centre), 0, side - length))
        margins.append((before, side - length - before))
    return np.pad(np.rint(255 * digit).astype(np.uint8), margins)
