"""Tell whether images are already prepared as MNIST's are."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs import digit, files
from lenet_multi.lenet.photographs.ink import LEAST_SIDE, THRESHOLD
from lenet_multi.lenet.photographs.placing import placed

_COMPARED = 100  # images, to decide whether all are like MNIST's
_LIKE, _MOST_OF_THEM = 0.45, 0.9  # of the blurred ink is where `prepare` puts it, on most images
_SMALLEST, _LARGEST, _SIZES_APART = 0.5, 0.9, 0.1  # of the side: their ink's size, and its range


def are_prepared(images: NDArray[np.uint8]) -> bool:
    """Return whether images (N, height, width, channels) are like MNIST's.

    They are if the ink is light on black, `prepare` would put it at the same place, and all digits
    have one size, which may be another than MNIST's, as in EMNIST.
    """
    some = images[:: -(-len(images) // _COMPARED)]
    _, side, width, _ = images.shape
    if side != width or side < LEAST_SIDE or (some != some[..., :1]).any():
        return False
    sizes, likenesses = np.transpose([_likeness(image[..., 0]) for image in some])
    usual = float(np.median(sizes))
    alike = (np.abs(sizes - usual) <= _SIZES_APART * side) & (likenesses >= _LIKE)
    return _SMALLEST * side <= usual <= _LARGEST * side and bool(alike.mean() >= _MOST_OF_THEM)


def _likeness(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the size of the ink in pixels, and the share of it that is where `prepare` puts it."""
    rows, columns = np.nonzero(image > 255 * THRESHOLD)
    try:
        ink = digit.find(files.plain(Image.fromarray(image)))
    except UserError:
        return 0.0, 0.0
    size = int(max(np.ptp(rows), np.ptp(columns))) + 1 if len(rows) else 0
    if not 0 < size < len(image):
        return 0.0, 0.0
    again = placed(ink, len(image), box=size)
    one, other = (ndimage.gaussian_filter(each / 255, len(image) / 14) for each in (image, again))
    return float(size), float(np.minimum(one, other).sum() / np.maximum(one, other).sum())
