"""Distorted images for training: turned, sheared, zoomed, moved and elastic, by NumPy alone.

An image's distortion follows from (seed, epoch, index), so that all backends see the same images.
Keras's own layers draw with each backend's generator, so they give each backend other images.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lenet_multi.config import DISTORTIONS, TrainConfig

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

ELASTIC_SIGMA = 4.0  # pixels: how far neighbours move alike
FIELDS = 1024  # elastic fields of an epoch, which images share
_AT_A_TIME = 64  # images: their coordinates stay in the processor's cache
_ANGLES, _FIELDS = 1, 2  # what is drawn, each by its own generator; 0 would be that of the order


def distorted(images: Images, config: TrainConfig, epoch: int) -> Images:
    """Return the training images (N, H, W, C) of `epoch`, from 0, distorted as `config` says.

    Pixels outside an image are zero; others are interpolated between four (bilinear).
    Sources: affine and elastic distortions, Simard, Steinkraus and Platt, 2003, "Best Practices for
    Convolutional Neural Networks Applied to Visual Document Analysis".
    """
    plain = round(config.undistorted * config.epochs)
    if epoch >= config.epochs - plain or not any(getattr(config, name) for name in DISTORTIONS):
        return images
    shape = images.shape[1:3]
    affine = _affine(len(images), config, epoch)
    bent = _elastic(len(images), shape, config, epoch) if config.elastic else None
    found = np.empty_like(images)
    for begin in range(0, len(images), _AT_A_TIME):
        some = slice(begin, begin + _AT_A_TIME)
        moved = bent[0][bent[1][some]] if bent else None
        found[some] = _interpolated(images[some], _coordinates(shape, affine[some], moved))
    return found


def _affine(count: int, config: TrainConfig, epoch: int) -> Floats:
    """Return for each image the (2, 3) matrix from (y, x, 1), from its middle, to its source."""
    draw = np.random.default_rng((config.seed, epoch, _ANGLES))
    drawn = draw.uniform(-1, 1, (6, count))
    turn = np.deg2rad(config.rotation) * drawn[0]
    shear = np.tan(np.deg2rad(config.shear) * drawn[1])
    down, right = 1 + config.zoom * drawn[2:4]
    sine, cosine = np.sin(turn), np.cos(turn)
    rows = [
        [cosine / down, -sine / down, config.translation * drawn[4]],
        [
            (sine + shear * cosine) / right,
            (cosine - shear * sine) / right,
            config.translation * drawn[5],
        ],
    ]
    return np.moveaxis(np.array(rows, np.float32), -1, 0)


def _elastic(
    count: int, shape: tuple[int, ...], config: TrainConfig, epoch: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Return fields of displacements (FIELDS, 2, H, W) in pixels, and the field of each image.

    A field is noise, smoothed by a Gaussian; its displacements have the deviation `elastic`.
    """
    draw = np.random.default_rng((config.seed, epoch, _FIELDS))
    noise = draw.standard_normal((FIELDS, 2, *shape), np.float32)
    # Smoothing divides the deviation of noise by 2 sqrt(pi) sigma.
    scale = np.float32(config.elastic * 2 * np.sqrt(np.pi) * ELASTIC_SIGMA)
    fields = gaussian_filter(noise, (0, 0, ELASTIC_SIGMA, ELASTIC_SIGMA), mode="wrap") * scale
    return fields, draw.integers(0, FIELDS, count)


def _coordinates(shape: tuple[int, ...], affine: Floats, moved: Floats | None) -> Floats:
    """Return where the pixels of n images come from: (2, n, H W), row and column."""
    middle = (np.array(shape, np.float32) - 1) / 2
    y, x = (axis.ravel() for axis in np.indices(shape, np.float32) - middle[:, None, None])
    found = np.empty((2, len(affine), y.size), np.float32)
    for axis in range(2):
        of_y, of_x, shift = (affine[:, axis, term, None] for term in range(3))
        np.multiply(of_y, y, out=found[axis])
        found[axis] += of_x * x
        found[axis] += shift + middle[axis]
        if moved is not None:
            found[axis] += moved[:, axis].reshape(found[axis].shape)
    return found


def _interpolated(images: Images, coordinates: Floats) -> Images:
    """Return the images at `coordinates` (2, n, H W), which may lie outside."""
    count, height, width, channels = images.shape
    framed = np.zeros((count, height + 2, width + 2, channels), np.uint8)
    framed[:, 1:-1, 1:-1] = images
    y, x = coordinates
    y += 1
    x += 1
    np.clip(y, 0, np.nextafter(np.float32(height + 1), np.float32(0)), out=y)
    np.clip(x, 0, np.nextafter(np.float32(width + 1), np.float32(0)), out=x)
    row, column = y.astype(np.int64), x.astype(np.int64)
    y -= row
    x -= column
    place = (np.arange(count)[:, None] * (height + 2) + row) * (width + 2) + column
    pixels = framed.ravel() if channels == 1 else framed.reshape(-1, channels)
    if channels > 1:
        y, x = y[..., None], x[..., None]

    def across(place: NDArray[np.int64]) -> Floats:
        left, right = (pixels.take(at, axis=0).astype(np.float32) for at in (place, place + 1))
        found: Floats = left + (right - left) * x
        return found

    above, below = across(place), across(place + width + 2)
    found: Floats = above + (below - above) * y + np.float32(0.5)  # to round
    return found.astype(np.uint8).reshape(images.shape)
