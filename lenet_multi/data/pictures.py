"""Decode small labelled pictures exactly as they are stored: no scaling, no search for a digit."""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bomb
from lenet_multi.errors import UserError, by, cannot_read, reason

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow runs no program for these
SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
FOREIGN = frozenset((".avif", ".heic", ".heif", ".jp2", ".jxl"))  # pictures that are not read
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def read(folder: Path, paths: list[Path]) -> NDArray[np.uint8]:
    """Return pictures (N, height, width[, 3]) of the files at `paths` in `folder`.

    Raises `UserError` when one is unreadable, transparent or of more than 8 bits, or they differ in
    size.
    """
    try:
        size = sum(path.stat().st_size for path in paths)
        named = ((str(path), decoded(path.read_bytes(), str(path))) for path in paths)
        return stacked(folder, named, len(paths), size)
    except OSError as error:
        raise UserError(cannot_read(error.filename or folder, error)) from error


def stacked(
    source: Path, pictures: Iterable[tuple[str, NDArray[np.uint8]]], count: int, size: int
) -> NDArray[np.uint8]:
    """Return the `count` pictures of a source of `size` bytes, given by name, as one array.

    A grey picture among coloured ones gets three equal channels. Raises `UserError` when they
    differ in size, or take far more than `size` bytes.
    """
    images = np.empty((0, 0, 0), np.uint8)
    for index, (name, picture) in enumerate(pictures):
        if not index:
            refuse_bomb(source, count * picture.nbytes, size)
            images = np.empty((count, *picture.shape), np.uint8)
        if picture.shape[:2] != images.shape[1:3]:
            raise UserError(
                f"{name} has {by(picture.shape[:2])} pixels but others have "
                f"{by(images.shape[1:3])}; make all pictures alike first"
            )
        if picture.ndim == images.ndim:  # the first coloured one
            images = np.repeat(images[..., np.newaxis], 3, axis=-1)
        images[index] = picture if picture.ndim == images.ndim - 1 else picture[..., np.newaxis]
    return images


def decoded(content: bytes, name: str) -> NDArray[np.uint8]:
    """Return the first frame of an encoded picture called `name`: (height, width[, 3]) uint8."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd files; what is bad is refused
        try:
            picture: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
            channels = len(picture.getbands())
            refuse_bomb(name, picture.width * picture.height * channels, len(content))
            picture.load()
            picture = ImageOps.exif_transpose(picture)
        except UserError:
            raise
        except Exception as error:  # Pillow raises errors of any class on a file it cannot decode
            raise UserError(
                f"{name} is no readable picture: {reason(error)}; save it again, or take it out"
            ) from error
        return _pixels(picture, name)


def _pixels(picture: "Image.Image", name: str) -> NDArray[np.uint8]:
    if picture.mode not in _GREY + _COLOUR:
        raise UserError(f"{name} has mode {picture.mode}; save it with 8 bits for each channel")
    if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
        raise UserError(f"{name} is transparent; save it on a plain ground")
    if picture.mode in _GREY:
        return np.asarray(picture.convert("L"))
    pixels: NDArray[np.uint8] = np.asarray(picture.convert("RGB"))
    of_palette = picture.mode.startswith("P")  # a grey picture may have a palette too
    is_grey = of_palette and bool((pixels == pixels[..., :1]).all())
    return pixels[..., 0] if is_grey else pixels
