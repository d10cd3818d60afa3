"""Ways to prepare a picture of a digit: ours, and what people write in a few lines."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lenet_multi.lenet.photographs import digit, levels
from lenet_multi.lenet.photographs.placing import SIDE

Prepared = NDArray[np.uint8]  # (28, 28), ink light on black


def naive(image: Image.Image) -> Prepared:
    """Return the whole picture in 28x28 pixels, inverted if it is mostly bright."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
    return 255 - grey if grey.mean() > 127 else grey


def careful(image: Image.Image) -> Prepared:
    """Return what Otsu's threshold finds, in a box of 20x20, with its mass in the middle."""
    grey = np.asarray(image.convert("L"), np.float64)
    bright = grey > levels.threshold(grey)[0]
    is_dark_ink = bright.mean() > 0.5
    inked = ~bright if is_dark_ink else bright
    ink = np.where(inked, grey.max() - grey if is_dark_ink else grey - grey.min(), 0)
    ((rows, columns),) = ndimage.find_objects(inked.astype(np.uint8))
    part = Image.fromarray(ink[rows, columns].astype(np.float32))
    scale = 20 / max(part.size)
    size = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    small = np.asarray(part.resize(size, Image.Resampling.BOX))
    small = small * 255 / max(small.max(), 1)
    places = zip(ndimage.center_of_mass(small), small.shape, strict=True)
    top, left = (int(np.clip(round(14 - at), 0, SIDE - length)) for at, length in places)
    whole = np.zeros((SIDE, SIDE), np.uint8)
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
    return whole


RECIPES: Mapping[str, Callable[[Image.Image], Prepared]] = {
    "ours": digit.prepare,
    "naive": naive,
    "careful": careful,
}
