"""Turn an image file into an image of another size, for models of images that are no digits."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet_multi.lenet.photographs import files


def read_input(source: Path | BinaryIO, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the whole image in a file as uint8 of `shape`, stretched if its sides differ.

    An image of that size keeps its pixels. Raises `UserError` like `files.read`.
    """
    height, width, channels = shape
    image = files.read(source, name=name, draft=(2 * width, 2 * height))
    if channels == 1:
        image = image.convert("L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(shape)
