"""Tell ink from the ground under it.

The ground is a smooth surface of colour with uneven light, fitted mostly to the border. Ink is any
departure from it: darker, lighter or another colour. Where the edge of a shadow crosses the
picture, no smooth surface fits. Then ink is what is dark and narrow.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lenet_multi.errors import UserError

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

TOUCHING = np.ones((3, 3))  # pixels touch at sides and corners

WORKING_SIDE = 256  # pixels: a digit a tenth as large still has MNIST's 20 pixels
THRESHOLD = 0.35  # of the ink's level: stronger ink belongs to strokes
LEAST_CONTRAST = 12  # of 255 levels: between ink and ground
LEAST_SIDE = 16  # pixels: on smaller images, strokes have no width
PHOTOGRAPH = 48  # pixels: smaller images show no shadow, ruled line or sheet beside a digit

_BLUR = 300  # the side over the standard deviation of the blur against noise
_BORDER = 1 / 8  # of the side: the border, expected to be ground
_INSIDE_WEIGHT = 0.2  # weight of pixels inside the border in the fit of the ground
_ROUNDS = 10  # of the robust fit
_LEAST_SIGNAL = 5  # standard deviations of the ground's noise: the least level of ink
_MISFIT = 0.02  # of the frame under ink, or of the pixels in a gleam: the ground may not fit
_GLEAM = 0.15  # of the ink's level: a gleam is lighter than the ground by so much
_REACH = 0.18  # of the side: no stroke is as wide
_WEAKEST = 0.3  # of the ink's level: ink under a gleam
_DARKEST = 0.02  # of the pixels may be darker than the darkest ground
_LEVELS = 32  # of light, to tell the ground from ink in a shadow
_LEAST_SHARE = 0.15  # of the ground's light: ink in a shadow takes more


def reduced(image: Image.Image, side: int = WORKING_SIDE) -> Array:
    """Return the pixels (H, W, 3) in [0, 255], with at most `side` of them on the longer side."""
    longest = max(image.size)
    if longest > side:
        size = [max(1, round(length * side / longest)) for length in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


def frame(values: NDArray[Any]) -> NDArray[Any]:
    """Return the outermost values of (H, W, ...)."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def at_the_frame(ink: Array) -> float:
    """Return the share of the frame that lies under ink."""
    return float((frame(ink) > THRESHOLD).mean())


def over_ground(pixels: Array) -> Array:
    """Return the ink (H, W) from 0 (ground) to 1; raise `UserError` if there is none."""
    levels = _over_smooth_ground(pixels)
    ink = np.clip(levels, 0, 1)
    touching, lighter = at_the_frame(ink), float((levels < -_GLEAM).mean())
    if max(touching, lighter) < _MISFIT or min(ink.shape) < PHOTOGRAPH:
        return ink
    under_shadow = over_shadowed_ground(pixels)
    if under_shadow is None or 2 * at_the_frame(under_shadow) > touching:
        return ink
    return under_shadow


def over_shadowed_ground(pixels: Array) -> Array | None:
    """Return dark ink (H, W) on a ground that may lie half in a shadow; None if there is none.

    Ink takes a share of the light, so that it is as strong in the shadow. It is darker than the
    ground is anywhere; gaps between light strokes are not.
    """
    light = ndimage.gaussian_filter(pixels.mean(axis=2), max(pixels.shape[:2]) / _BLUR)
    reach = int(_REACH * max(light.shape)) | 1
    ground = _shadowed_ground(light, reach)
    try:
        levels = _levels((ground - light) / np.maximum(ground, 1), least=_LEAST_SHARE)
    except UserError:
        return None
    # Under a gleam all ink is weaker: compare it with the strongest around.
    strongest = ndimage.uniform_filter(ndimage.maximum_filter(levels, reach), reach)
    ink = np.clip(levels / np.clip(strongest, _WEAKEST, 1), 0, 1)
    darkest = np.quantile(ground, _DARKEST)
    return ink if np.median(light[ink > THRESHOLD]) < (1 - _LEAST_SHARE) * darkest else None


def _shadowed_ground(light: Array, reach: int) -> Array:
    """Return the light (H, W) of the ground: `light` with its narrow dark places filled.

    At each level, dark places that hold no square of `reach` are filled; others keep their shape
    ("closing by reconstruction": Vincent, 1993, "Morphological grayscale reconstruction").
    """
    closed = ndimage.grey_closing(light, (reach, reach))
    ground = np.full_like(light, light.max())
    for level in np.linspace(light.max(), light.min(), _LEVELS)[1:]:
        places, _ = ndimage.label(light <= level, TOUCHING)
        wide = np.unique(places[closed <= level])
        ground[np.isin(places, wide[wide > 0])] = level
    return ground


def _over_smooth_ground(pixels: Array) -> Array:
    departure = pixels - _ground(pixels)  # (H, W, 3)
    blur = max(pixels.shape[:2]) / _BLUR
    departure = ndimage.gaussian_filter(departure, (blur, blur, 0))
    flat = departure.reshape(-1, 3)
    _, directions = np.linalg.eigh(flat.T @ flat)
    along = departure @ directions[:, -1]  # the colour in which the image varies most
    along *= np.sign(np.sum(along**3)) or 1  # ink is the far side
    return _levels(along, least=LEAST_CONTRAST)


def _levels(along: Array, *, least: float) -> Array:
    """Return departures (H, W) as shares of the ink's; raise `UserError` if that is mere noise."""
    # Roughness is noise, except at edges, so take its lower quartile; a quarter of a Gaussian lies
    # within 0.32 standard deviations. Ink and light are smooth.
    rough = np.abs(along - ndimage.gaussian_filter(along, 2))
    noise = np.quantile(rough, 0.25) / 0.32
    level = np.median(along[along >= along.max() / 2])
    if level < max(least, _LEAST_SIGNAL * noise):
        raise UserError("nothing is drawn on it, or too faintly; give a clearer image")
    return np.asarray(along / level, np.float32)


def _ground(pixels: Array) -> Array:
    """Return the ground (H, W, 3) under `pixels`: a quadratic surface for each colour.

    The fit weighs the border most, because it has little ink, and distant pixels less each round.
    """
    every = max(1, max(pixels.shape[:2]) // 48)  # a smooth surface needs no more pixels
    terms = _quadratic(*pixels.shape[:2])
    some, colours = terms[::every, ::every].reshape(-1, 6), pixels[::every, ::every].reshape(-1, 3)
    border = np.abs(some[:, 1:3]).max(axis=1) > 1 - 2 * _BORDER
    expected = np.where(border, 1, _INSIDE_WEIGHT)[:, np.newaxis]
    weights = expected
    for _ in range(_ROUNDS):
        weighted = weights * some
        surface, *_ = np.linalg.lstsq(weighted.T @ some, weighted.T @ colours, rcond=None)
        away = np.linalg.norm(colours - some @ surface, axis=1, keepdims=True)
        scale = max(1.0, 2 * float(np.median(away)))
        weights = expected / (1 + (away / scale) ** 2) ** 2
    return np.asarray(terms @ surface.astype(np.float32))


def _quadratic(height: int, width: int) -> Array:
    """Return 1, x, y, x², xy and y² at each pixel (H, W, 6), x and y from -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1, dtype=np.float32)
