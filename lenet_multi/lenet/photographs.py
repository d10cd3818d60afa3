"""Turn a photograph or a drawing of a digit into an image as MNIST's were made.

Everything starts from the ground that the digit stands on, found from the border inwards as a
smooth surface of colour: uneven light is part of it, and ink is what departs from it, darker,
lighter or of another colour. From there on it is MNIST's own recipe: crop the ink, scale it to fit
20x20 pixels keeping its aspect, and place its centre of mass at the centre of 28x28.
"""

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from lenet_multi.errors import UserError, reason

SIDE = 28  # of MNIST's images
_BOX = 20 / 28  # of the side, which the ink fills

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none that runs another program
MOST_PIXELS = 50_000_000  # the largest phone cameras; larger is a decompression bomb
MOST_BYTES = 256 * 2**20  # more than such an image takes without compression

_WORKING_SIDE = 256  # a digit that takes a tenth of the frame still has MNIST's 20 pixels
_MARGIN = 0.4  # of the strokes' longer side, around them, for a nearer look
_BLUR = 300  # of the side is one standard deviation, against noise
_BORDER = 1 / 8  # of the side: where ground is expected
_INSIDE_WEIGHT = 0.2  # of what is no border, in the fit of the ground
_ROUNDS = 10  # of the robust fit
_LEAST_CONTRAST = 12  # of 255 levels, between ink and ground
_LEAST_SIGNAL = 5  # ink over the ground's noise, in standard deviations
_THRESHOLD = 0.35  # of the ink's level, from which on a pixel belongs to the digit
_SPECK = 0.05  # of the largest stroke's area, below which a stroke is dirt
_FAINTEST = 0.1  # of the ink's level, of a stroke's soft edge
_FINE = 4  # times as large, to measure strokes of small images
_THINNEST = 1.5  # pixels of a 28x28 image: MNIST's thinnest strokes
_USUAL = 2.6  # pixels: the median of MNIST's strokes

# Pillow warns of odd files, and of bombs from a higher limit on; `read` refuses what is no use.
warnings.filterwarnings("ignore", module="PIL")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

Array = NDArray[np.float32]


def read(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    formats: tuple[str, ...] = FORMATS,
    most_pixels: int = MOST_PIXELS,
) -> Image.Image:
    """Return the image in a file, its first frame, upright, RGB; a large JPEG reduced.

    What is transparent is laid on a plain ground. `name` is what errors call the file.

    Raises `UserError` when it cannot be read, is no image or a damaged one, or has more than
    `most_pixels` pixels, which its header tells before anything is decoded.
    """
    name = name or (str(source) if isinstance(source, Path) else "the image")
    content = io.BytesIO(_read_bytes(source, name))
    try:
        image = Image.open(content, formats=formats)
        if image.width * image.height > most_pixels:
            raise Image.DecompressionBombError
        image.draft(None, (_WORKING_SIDE * 2, _WORKING_SIDE * 2))
        image.load()
        return _plain(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(
            f"{name} has more than {most_pixels / 10**6:.0f} megapixels; give a smaller image"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is no image; give one of {', '.join(formats)}") from error
    except Exception as error:  # Pillow raises what it likes on a file that it cannot decode
        raise UserError(f"{name} is a damaged or truncated image: {reason(error)}") from error


def read_input(source: Path | BinaryIO, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the digit in an image file in `shape`, square and grey, or raise `UserError`."""
    height, _, channels = shape
    image = read(source, name=name)
    try:
        digit = prepare(image, height)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return np.repeat(digit[..., np.newaxis], channels, axis=-1)


def _read_bytes(source: Path | BinaryIO, name: str) -> bytes:
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                size = os.fstat(file.fileno()).st_size or MOST_BYTES  # a pipe has none
                content = file.read(min(size, MOST_BYTES) + 1)
        else:
            content = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror or error}") from error
    if not content:
        raise UserError(f"{name} is empty; give an image")
    if len(content) > MOST_BYTES:
        raise UserError(f"{name} is larger than {MOST_BYTES // 2**20} MiB; give a smaller image")
    return content


def _plain(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB, with nothing transparent."""
    if image.mode.startswith(("I", "F")):  # 16 bits and more, which Pillow would clip
        image = _stretched(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, _ground_colour(np.asarray(image)))
    return Image.alpha_composite(ground, image).convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Return a grey image of many levels with its range spread over 0 to 255."""
    levels = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    levels -= levels.min()
    return Image.fromarray((levels * (255 / max(levels.max(), 1e-300))).astype(np.uint8))


def _ground_colour(pixels: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the colour to lay under transparent `pixels` (H, W, 4).

    Where little is opaque, that is ink, and gets the ground that it shows on best; where most
    is, the ground is there already, and goes on.
    """
    opaque = pixels[..., 3] > 127
    if not opaque.any():
        return 255, 255, 255, 255
    colour = np.median(pixels[opaque][:, :3], axis=0)
    if opaque.mean() < 0.5:
        colour = np.full(3, 255 if colour.mean() < 128 else 0)
    return (*map(int, colour), 255)


def prepare(image: Image.Image, side: int = SIDE) -> NDArray[np.uint8]:
    """Return the digit on `image` as MNIST holds digits: (side, side) uint8, ink 255 on 0.

    The image may have any size and mode; the ink may be darker or lighter than its ground.

    Raises `UserError` when nothing is drawn on it.
    """
    if not all(image.size):
        raise UserError("it has no pixels")
    image = _plain(image)
    digit, box = _find(image)
    if 2 * max(box[2] - box[0], box[3] - box[1]) < max(image.size):
        digit, _ = _find(image.crop(box))  # nearer: finer, and less uneven
    return _place(_fit(digit, round(side * _BOX)), side)


def _find(image: Image.Image) -> tuple[Array, tuple[int, int, int, int]]:
    """Return the strokes' ink (H, W), and left, top, right and bottom around them in `image`."""
    ink = _ink(_reduced(image))
    strokes = _strokes(ink)
    rows, columns = ndimage.find_objects(strokes.astype(np.uint8))[0]
    unit = max(image.size) / max(ink.shape)
    margin = _MARGIN * max(rows.stop - rows.start, columns.stop - columns.start)
    box = (
        max(0, int((columns.start - margin) * unit)),
        max(0, int((rows.start - margin) * unit)),
        min(image.width, int((columns.stop + margin) * unit) + 1),
        min(image.height, int((rows.stop + margin) * unit) + 1),
    )
    return np.where(strokes, ink, 0)[rows, columns], box


def _reduced(image: Image.Image) -> Array:
    """Return the pixels (H, W, 3) in [0, 255], of `_WORKING_SIDE` at the longer side at most."""
    longest = max(image.size)
    if longest > _WORKING_SIDE:
        size = [max(1, round(length * _WORKING_SIDE / longest)) for length in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


def _ink(pixels: Array) -> Array:
    """Return how much ink is on each pixel (H, W), 0 for the ground; `UserError` if none is."""
    departure = pixels - _ground(pixels)  # (H, W, 3)
    blur = max(pixels.shape[:2]) / _BLUR
    departure = ndimage.gaussian_filter(departure, (blur, blur, 0))
    flat = departure.reshape(-1, 3)
    _, directions = np.linalg.eigh(flat.T @ flat)
    along = departure @ directions[:, -1]  # the colour in which the image varies most
    along *= np.sign(np.sum(along**3)) or 1  # ink is the far side
    # What is rough is noise, what is smooth is ink or light; edges are rough too, so the quieter
    # quarter counts: of a Gaussian it lies within 0.32 standard deviations.
    rough = np.abs(along - ndimage.gaussian_filter(along, 2))
    noise = np.quantile(rough, 0.25) / 0.32
    level = np.median(along[along >= along.max() / 2])
    if level < max(_LEAST_CONTRAST, _LEAST_SIGNAL * noise):
        raise UserError("nothing is drawn on it, or too faintly")
    return np.asarray(np.clip(along / level, 0, 1), np.float32)


def _ground(pixels: Array) -> Array:
    """Return the ground (H, W, 3) under `pixels`: a quadratic surface for each colour.

    The fit minds the border most, where ink is rare, and pixels that depart from it little by
    little less.
    """
    every = max(1, max(pixels.shape[:2]) // 48)  # no more are needed for a smooth surface
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


def _strokes(ink: Array) -> NDArray[np.bool_]:
    """Return which pixels are the digit's, without specks and what reaches in from outside."""
    parts, count = ndimage.label(ink > _THRESHOLD, np.ones((3, 3)))
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    kept = areas >= max(1, _SPECK * areas.max())
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    inside = kept & ~np.isin(np.arange(count + 1), edges)
    kept = inside if inside.any() else kept
    # A pixel further, for the soft edge.
    return np.asarray(ndimage.binary_dilation(kept[parts], np.ones((3, 3))) & (ink > _FAINTEST))


def _fit(digit: Array, box: int) -> Array:
    """Return `digit` scaled so that its longer side is `box`, a thin pen's strokes widened."""
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
    """Return `digit` scaled to `longer` pixels at its longer side."""
    height, width = (max(1, round(length * longer / max(digit.shape))) for length in digit.shape)
    scaled = Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(scaled, np.float32), 0, 1)


def _place(digit: Array, side: int) -> NDArray[np.uint8]:
    """Return (side, side) uint8 with the centre of mass of `digit` at its centre."""
    margins = []
    for centre, length in zip(ndimage.center_of_mass(digit), digit.shape, strict=True):
        before = int(np.clip(round(side / 2 - centre), 0, side - length))
        margins.append((before, side - length - before))
    return np.pad(np.rint(255 * digit).astype(np.uint8), margins)
