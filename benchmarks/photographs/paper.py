"""Draw what a digit stands on: paper, lines, a box, light, a desk."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

SIDE = 400  # pixels of a picture
PEN = (40, 42, 60)
PALE, BLUE, GREY = (190, 195, 205), (120, 150, 215), (150, 150, 150)
_CHALK, _BOARD, _DESK = (225, 225, 215), (40, 60, 50), (60, 45, 35)
_DESK_SHARE = 0.7  # of the picture's side: a sheet on a desk

Pixels = NDArray[np.float64]  # (SIDE, SIDE, 3) colours, or (SIDE, SIDE) ink from 0 to 1
Colour = tuple[int, int, int]
Generator = np.random.Generator


def image(pixels: Pixels) -> Image.Image:
    """Return `pixels` as an image."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def sheet(generator: Generator) -> Pixels:
    """Return white paper, a little coloured and grainy."""
    colour = np.array([238.0, 236.0, 230.0]) + generator.normal(0, 4)
    return np.tile(colour, (SIDE, SIDE, 1)) + generator.normal(0, 1.5, (SIDE, SIDE, 1))


def on(ground: Pixels, ink: Pixels, colour: Colour = PEN) -> Pixels:
    """Return `ground` with `ink` of a colour on it."""
    return ground * (1 - ink[..., np.newaxis]) + np.array(colour) * ink[..., np.newaxis]


def ruled(step: int, first: int, width: int, *, squared: bool = False) -> Pixels:
    """Return lines across, and also down if `squared`."""
    ink = np.zeros((SIDE, SIDE))
    for line in range(first, first + width):
        ink[line::step] = 1
        if squared:
            ink[:, line::step] = 1
    return ink


def box(generator: Generator) -> Pixels:
    """Return a printed box around the middle."""
    edge, width = generator.integers(30, 75), int(generator.integers(3, 9))
    left, top, right, bottom = map(
        float, generator.integers(-8, 9, 4) + np.repeat([edge, SIDE - edge], 2)
    )
    drawing = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(drawing).rectangle((left, top, right, bottom), outline=255, width=width)
    return np.asarray(drawing) / 255


def underline(ink: Pixels, generator: Generator) -> Pixels:
    """Return a line by hand below `ink`."""
    below = int(np.nonzero(ink.max(axis=1) > 0.5)[0].max() + generator.integers(12, 30))
    ends = SIDE // 2 + generator.integers(80, 150, 2) * [-1, 1]
    heights = below + generator.integers(-6, 7, 2)
    drawing = Image.new("L", (SIDE, SIDE))
    line = [(int(x), int(y)) for x, y in zip(ends, heights, strict=True)]
    ImageDraw.Draw(drawing).line(line, fill=255, width=int(generator.integers(6, 14)))
    return np.asarray(drawing) / 255


def _places() -> tuple[Pixels, Pixels]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return y, x


def shadow(generator: Generator, *, hard: bool) -> Pixels:
    """Return the light (SIDE, SIDE, 1) under a shadow that falls from one side."""
    y, x = _places()
    angle, reach = generator.uniform(0, 2 * np.pi), 0.25 if hard else 0.3
    across = np.cos(angle) * x + np.sin(angle) * y + generator.uniform(-reach, reach)
    dark = 1 / (1 + np.exp(-4 * across))
    if hard:
        dark = ndimage.gaussian_filter((across > 0) * 1.0, generator.uniform(0.5, 2))
    return np.asarray(1 - generator.uniform(0.3, 0.55) * dark)[..., np.newaxis]


def glare(pixels: Pixels, generator: Generator) -> Pixels:
    """Return `pixels` with the gleam of a lamp on them."""
    y, x = _places()
    at = generator.uniform(-0.7, 0.7, 2)
    gleam = 0.6 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 0.08)[..., np.newaxis]
    return np.asarray(0.75 * pixels + (255 - 0.75 * pixels) * gleam)


def blackboard(ink: Pixels, generator: Generator) -> Pixels:
    """Return `ink` in chalk on a wiped board."""
    wiped = ndimage.gaussian_filter(generator.normal(0, 60, (SIDE, SIDE)), 8)[..., np.newaxis]
    board = np.array(_BOARD, np.float64) + wiped
    chalk = ink * (generator.random((SIDE, SIDE)) > 0.12)
    return on(board, chalk, _CHALK) + generator.normal(0, 5, (SIDE, SIDE, 1))


def compressed(pixels: Pixels, quality: int) -> Image.Image:
    """Return `pixels` as a JPEG of a low quality shows them."""
    file = io.BytesIO()
    image(pixels).save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def on_a_desk(pixels: Pixels, generator: Generator) -> Image.Image:
    """Return `pixels` as a sheet that lies, a little turned, on a dark desk of wood."""
    side = int(SIDE * _DESK_SHARE)
    grain = ndimage.gaussian_filter(generator.normal(0, 40, (SIDE, SIDE)), (1, 12))
    desk = image(np.array(_DESK, np.float64) + grain[..., np.newaxis])
    top, left = map(int, generator.integers(20, SIDE - side - 20, 2))
    whole, mask = desk.copy(), Image.new("L", (SIDE, SIDE))
    whole.paste(image(pixels).resize((side, side), Image.Resampling.BOX), (left, top))
    mask.paste(255, (left, top, left + side, top + side))
    angle = generator.uniform(-8, 8)
    turned, where = (each.rotate(angle, Image.Resampling.BICUBIC) for each in (whole, mask))
    return Image.composite(turned, desk, where)
