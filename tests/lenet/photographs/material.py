"""Pictures of digits to try the room on."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

NEGATIVE = 8  # of 255, if a pixel at the threshold changes side; none of 4,000 images was above 3


ROUNDING = 2  # of 255 levels, for the rounding of a mode or a format; measured 1


MODES = ("L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F")


def seven(*, paper: int = 230, ink: int = 30, size: tuple[int, int] = (120, 150)) -> Image.Image:
    """Return a grey page with a seven in the middle."""
    width, height = size
    image = Image.new("L", size, paper)
    points = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.75)]
    line = [(x * width, y * height) for x, y in points]
    ImageDraw.Draw(image).line(line, ink, width=max(2, min(size) // 12), joint="curve")
    return image


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return a grey image in another mode, with the same look."""
    if mode == "I;16":
        return Image.fromarray(np.asarray(image, np.uint16) * 257)
    if mode in {"HSV", "PA"}:
        image = image.convert("P" if mode == "PA" else "RGB")
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    """Return the bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def gap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """Return the largest difference between two images."""
    return int(np.abs(one.astype(int) - other).max())


def page(bar: tuple[int, int, int, int], size: tuple[int, int] = (100, 80)) -> Image.Image:
    """Return a page of a light colour with a bar of another."""
    image = Image.new("RGB", (100, 80), (200, 190, 180))
    ImageDraw.Draw(image).rectangle(bar, (40, 60, 90))
    return image.resize(size, Image.Resampling.NEAREST)


def tight(digit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a digit (28, 28) cut out along its ink."""
    rows, columns = np.nonzero(digit > 40)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def enlarged(digit: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Return a smoothly enlarged image."""
    height, width = (max(1, round(length * factor)) for length in digit.shape)
    return np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC))


def shared(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the share of ink that two images have in common."""
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())
