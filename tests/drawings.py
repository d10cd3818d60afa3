"""Draw digits of MNIST as on photographs: large, off-centre, on coloured paper."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet_multi.data.examples import Examples

LEAST_CONTRAST = 80  # of 255 levels of grey, between ink and paper
GREY = (0.299, 0.587, 0.114)  # the eye's weights of red, green and blue

Generator = np.random.Generator


def draw(digit: NDArray[np.uint8], generator: Generator) -> Image.Image:
    """Return `digit` (28, 28) drawn 4 to 15 times as large on uneven, noisy, coloured paper.

    Half of the drawings have light ink on dark paper.
    """
    side = int(generator.integers(112, 420))
    width, height = (int(side * factor) for factor in generator.uniform(1.05, 2.2, 2))
    left = int(generator.integers(0, width - side + 1))
    top = int(generator.integers(0, height - side + 1))
    coverage = np.zeros((height, width))  # 1 means ink
    enlarged = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    coverage[top : top + side, left : left + side] = np.asarray(enlarged) / 255
    paper, ink = _colours(generator)
    drawn = paper + coverage[..., np.newaxis] * (ink - paper)
    drawn *= _light(height, width, generator)[..., np.newaxis]
    drawn += generator.normal(0, generator.uniform(0, 15), drawn.shape)
    return Image.fromarray(np.clip(np.rint(drawn), 0, 255).astype(np.uint8))


def _colours(generator: Generator) -> NDArray[np.float64]:
    """Return the colours of paper and ink (2, 3), with enough contrast."""
    while True:
        colours = generator.uniform(0, 255, (2, 3))
        if abs(np.subtract(*colours) @ GREY) >= LEAST_CONTRAST:
            return colours


def _light(height: int, width: int, generator: Generator) -> NDArray[np.float64]:
    """Return the light on each pixel: a lamp at one side, and darker corners."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = generator.uniform(0, 2 * np.pi)
    ramp = (np.cos(angle) * x + np.sin(angle) * y) / np.sqrt(2)  # -1 to 1
    lamp = 1 - generator.uniform(0, 0.5) * (1 + ramp) / 2
    corners = 1 - generator.uniform(0, 0.3) * (x**2 + y**2) / 2
    return np.asarray(lamp * corners)


def write(images: Examples, folder: Path, *, seed: int) -> list[Path]:
    """Draw `images` (N, 28, 28, 1) into `folder`, half as PNG, half as JPEG; return the files.

    A file's name ends in its label.
    """
    generator = np.random.default_rng(seed)
    files = []
    for index, (digit, label) in enumerate(zip(images.x, images.y, strict=True)):
        drawing = draw(digit[..., 0], generator)
        suffix = generator.choice(["png", "jpg"])
        files.append(folder / f"{index:04}-{label}.{suffix}")
        drawing.save(files[-1], quality=int(generator.integers(50, 95)))
    return files


def pick(images: Examples, count: int, *, seed: int) -> Examples:
    """Return `count` random images of `images`."""
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    return Examples(images.x[chosen], images.y[chosen])
