"""Find a sheet of paper that lies on something darker, and leave out what lies around it."""

import numpy as np
from PIL import Image
from scipy import ndimage

from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs import ink, levels
from lenet_multi.lenet.photographs.ink import PHOTOGRAPH, TOUCHING, Mask

_SIDE = 128  # pixels: enough to see a sheet
_LEAST, _MOST = 0.15, 0.97  # of the picture: the sheet
_BRIGHT = 0.75  # of the sheet, at least; the rest is ink
_DARK = 0.75  # of the sheet's light: all around has less
_RECTANGLE = 0.9  # of the smallest rectangle around it: the sheet
_LONGEST = 2.5  # times as long as wide: a longer one is a digit 1
_AT_EDGES = 1  # of the picture's, at most, touch the sheet; the lit side of a shadow touches more
_ALONG = 0.05  # of an edge: a sheet that covers less only touches it
_INWARDS = 3  # of 128 pixels: the sheet's own edge is left out
_ANGLES = np.deg2rad(np.arange(-45, 45, 3))


def alone(image: Image.Image) -> Image.Image:
    """Return the part of an RGB image that shows a sheet, with the sheet's colour around it.

    Return the image itself if it shows no bright sheet on a darker ground, with ink on it.
    """
    if min(image.size) < PHOTOGRAPH:
        return image
    pixels = ink.reduced(image, _SIDE)
    light = pixels.mean(axis=2)
    bright = light > levels.threshold(light)[0]
    sheet = _sheet(bright, light)
    if sheet is None:
        return image
    ((rows, columns),) = ndimage.find_objects(sheet.astype(np.uint8))
    unit = max(image.size) / max(light.shape)
    left, top, right, bottom = (
        int(side * unit) for side in (columns.start, rows.start, columns.stop, rows.stop)
    )
    part = image.crop((left, top, right, bottom))
    colour = np.median(pixels[sheet & bright], axis=0)
    mask = Image.fromarray(sheet[rows, columns]).resize(part.size, Image.Resampling.NEAREST)
    found = Image.composite(part, Image.new("RGB", part.size, tuple(map(int, colour))), mask)
    try:
        ink.over_ground(ink.reduced(found))
    except UserError:  # a digit that looks like an empty sheet
        return image
    return found


def _sheet(bright: Mask, light: ink.Array) -> Mask | None:
    """Return where the sheet is, without its edge; None if there is none."""
    filled = ndimage.binary_fill_holes(ndimage.binary_opening(bright, TOUCHING))
    parts, count = ndimage.label(filled)
    if not count:
        return None
    sheet = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    edges = (sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1])
    if (
        not _LEAST <= sheet.mean() <= _MOST
        or bright[sheet].mean() < _BRIGHT
        or sum(edge.mean() > _ALONG for edge in edges) > _AT_EDGES
        or light[~sheet].mean() > _DARK * np.median(light[sheet])
        or not _is_rectangle(sheet)
    ):
        return None
    inner = ndimage.binary_erosion(sheet, TOUCHING, iterations=_INWARDS)
    return inner if inner.any() else None


def _is_rectangle(part: Mask) -> bool:
    """Return whether `part` fills the smallest rectangle around it, turned at any angle."""
    y, x = np.nonzero(part & ~ndimage.binary_erosion(part))
    cosines, sines = np.cos(_ANGLES), np.sin(_ANGLES)
    widths = np.ptp(np.outer(cosines, x) + np.outer(sines, y), axis=1) + 1
    heights = np.ptp(np.outer(cosines, y) - np.outer(sines, x), axis=1) + 1
    best = int(np.argmin(widths * heights))
    width, height = widths[best], heights[best]
    return bool(
        part.sum() >= _RECTANGLE * width * height
        and max(width, height) <= _LONGEST * min(width, height)
    )
