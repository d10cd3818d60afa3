"""The conditions under which digits of MNIST are drawn, each with its number of pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from benchmarks.photographs import paper
from benchmarks.photographs.paper import PEN, SIDE, Colour, Generator, Pixels, image, on, sheet

Digit = NDArray[np.uint8]  # (28, 28), as in MNIST
Draw = Callable[[Digit, Generator], Image.Image]


@dataclass(frozen=True)
class Condition:
    """How digits are drawn, and how many pictures tell."""

    draw: Draw
    pictures: int = 100
    digits: int = 1  # on a picture


def ink(digit: Digit, height: float, centre: tuple[float, float] = (0.5, 0.5)) -> Pixels:
    """Return the digit's ink (SIDE, SIDE), MNIST's 20 pixels as `height`, around `centre` (y, x).

    The edge of its strokes is sharp, as a pen's is.
    """
    side = round(28 * height / 20)
    larger = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    rows, columns = np.nonzero(np.asarray(larger) > 90)
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    whole = Image.new("L", (SIDE, SIDE))
    top, left = (round(at * SIDE - half) for at, half in zip(centre, middle, strict=True))
    whole.paste(larger, (left, top))
    return _sharp(np.asarray(whole) / 255)


def _sharp(levels: Pixels) -> Pixels:
    return np.clip((levels - 0.3) / 0.4, 0, 1)


def somewhere(generator: Generator, reach: float = 0.1) -> tuple[float, float]:
    """Return a place near the middle."""
    y, x = 0.5 + generator.uniform(-reach, reach, 2)
    return y, x


def written(digit: Digit, generator: Generator) -> Pixels:
    """Return the digit by pen on white paper."""
    height = generator.uniform(160, 240)
    return on(sheet(generator), ink(digit, height, somewhere(generator)))


def lined(colour: Colour, every: int, width: int = 1, *, squared: bool = False) -> Draw:
    """Return how to draw on paper with lines of a colour."""

    def draw(digit: Digit, generator: Generator) -> Image.Image:
        step = round(every * generator.uniform(0.85, 1.15))
        lines = paper.ruled(step, int(generator.integers(step)), width, squared=squared)
        ground = on(sheet(generator), lines, colour)
        return image(on(ground, ink(digit, generator.uniform(150, 240), somewhere(generator))))

    return draw


def ruled_dark(digit: Digit, generator: Generator) -> Image.Image:
    """Draw on lines as dark as the ink."""
    return lined(PEN, 65, int(generator.integers(2, 4)))(digit, generator)


def underlined(digit: Digit, generator: Generator) -> Image.Image:
    """Draw a digit with a line below it."""
    number = ink(digit, generator.uniform(150, 220), (0.45, 0.5))
    return image(on(on(sheet(generator), number), paper.underline(number, generator)))


def boxed(colour: Colour) -> Draw:
    """Return how to draw in a printed box."""

    def draw(digit: Digit, generator: Generator) -> Image.Image:
        ground = on(sheet(generator), paper.box(generator), colour)
        return image(on(ground, ink(digit, generator.uniform(130, 190))))

    return draw


def shadowed(digit: Digit, generator: Generator, *, hard: bool) -> Image.Image:
    """Draw under a shadow."""
    return image(written(digit, generator) * paper.shadow(generator, hard=hard))


def noisy(digit: Digit, generator: Generator) -> Image.Image:
    """Draw as a camera sees it at night."""
    return image(written(digit, generator) + generator.normal(0, 30, (SIDE, SIDE, 3)))


def glaring(digit: Digit, generator: Generator) -> Image.Image:
    """Draw under a lamp."""
    return image(paper.glare(written(digit, generator), generator))


def chalked(digit: Digit, generator: Generator) -> Image.Image:
    """Draw with chalk."""
    number = ink(digit, generator.uniform(160, 240), somewhere(generator))
    return image(paper.blackboard(number, generator))


def small(digit: Digit, generator: Generator) -> Image.Image:
    """Draw a digit an eighth as high as the picture."""
    place = somewhere(generator, 0.3)
    return image(on(sheet(generator), ink(digit, generator.uniform(40, 60), place)))


def large(digit: Digit, generator: Generator) -> Image.Image:
    """Draw a digit four fifths as high as the picture."""
    return image(on(sheet(generator), ink(digit, generator.uniform(300, 340))))


def thin_pen(digit: Digit, generator: Generator) -> Image.Image:
    """Draw with a pen of 2 to 4 pixels along the middle of the strokes."""
    strokes = ink(digit, generator.uniform(180, 260), somewhere(generator)) > 0.5
    away = ndimage.distance_transform_edt(~_middle(strokes))
    line = np.clip(generator.uniform(2, 4) / 2 + 0.5 - away, 0, 1)
    return image(on(sheet(generator), line))


def _middle(strokes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the middle lines of `strokes`: Zhang and Suen's thinning (1984)."""
    points = np.pad(strokes, 1).astype(np.uint8)
    around = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
    while True:
        before = points.copy()
        for odd in (0, 2):
            near = [np.roll(points, (-dy, -dx), (0, 1)) for dy, dx in around]
            count = np.sum(near, axis=0, dtype=int)
            steps = [(near[i] == 0) & (near[(i + 1) % 8] == 1) for i in range(8)]
            one = near[0] * near[2] * near[4 if not odd else 6] == 0
            other = near[2 if not odd else 0] * near[4] * near[6] == 0
            gone = (count >= 2) & (count <= 6) & (np.sum(steps, axis=0) == 1) & one & other
            points[gone] = 0
        if (points == before).all():
            return np.asarray(points[1:-1, 1:-1] == 1)


def cropped(digit: Digit, *, margin: int, above: int = 0) -> Digit:
    """Return the digit cut along its ink `above` a level, with a black margin."""
    rows, columns = np.nonzero(digit > above)
    part = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return np.pad(part, margin)


def tight(margin: int, times: int = 1) -> Draw:
    """Return how to cut MNIST's own image along its ink, and enlarge it."""

    def draw(digit: Digit, generator: Generator) -> Image.Image:
        part = Image.fromarray(cropped(digit, margin=margin))
        size = part.width * times, part.height * times
        return part if times == 1 else part.resize(size, Image.Resampling.BICUBIC)

    return draw


def reduced(side: int) -> Draw:
    """Return how to make MNIST's own image smaller."""
    return lambda digit, generator: Image.fromarray(digit).resize(
        (side, side), Image.Resampling.BOX
    )


def fills_the_frame(digit: Digit, generator: Generator) -> Image.Image:
    """Draw a digit from edge to edge."""
    part = cropped(digit, margin=0, above=100)
    height, width = (max(1, round(length * SIDE / max(part.shape))) for length in part.shape)
    larger = Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC)
    whole = Image.new("L", (SIDE, SIDE))
    whole.paste(larger, ((SIDE - width) // 2, (SIDE - height) // 2))
    return image(on(sheet(generator), _sharp(np.asarray(whole) / 255)))


def two(digits: Digit, generator: Generator) -> Image.Image:
    """Draw the two `digits` (2, 28, 28) side by side."""
    height = generator.uniform(130, 190)
    first = ink(digits[0], height, (0.5 + generator.uniform(-0.03, 0.03), 0.29))
    second = ink(
        digits[1],
        height * generator.uniform(0.9, 1.1),
        (0.5 + generator.uniform(-0.03, 0.03), 0.71),
    )
    return image(on(sheet(generator), np.maximum(first, second)))


CONDITIONS: Mapping[str, Condition] = {
    "pale ruled paper": Condition(lined(paper.PALE, 45)),
    "blue ruled paper": Condition(lined(paper.BLUE, 45, 2)),
    "pale squared paper": Condition(lined(paper.PALE, 30, squared=True)),
    "blue squared paper": Condition(lined(paper.BLUE, 30, squared=True)),
    "soft shadow": Condition(partial(shadowed, hard=False)),
    "blackboard": Condition(chalked),
    "noise": Condition(noisy),
    "JPEG of quality 8": Condition(
        lambda digit, generator: paper.compressed(written(digit, generator), 8)
    ),
    "glare": Condition(glaring),
    "thin pen": Condition(thin_pen),
    "small in the frame": Condition(small),
    "large in the frame": Condition(large),
    "28x28, margin 0": Condition(tight(0), 500),
    "28x28, margin 1": Condition(tight(1), 500),
    "28x28, margin 2": Condition(tight(2), 500),
    "ten times, margin 0": Condition(tight(0, 10), 167),
    "ten times, margin 1": Condition(tight(1, 10), 167),
    "ten times, margin 2": Condition(tight(2, 10), 166),
    "14x14 pixels": Condition(reduced(14), 500),
    "8x8 pixels": Condition(reduced(8), 500),
    "fills the frame": Condition(fills_the_frame),
    "in a grey box": Condition(boxed(paper.GREY)),
    "in a dark box": Condition(boxed(PEN)),
    "lines as dark as the ink": Condition(ruled_dark),
    "underlined": Condition(underlined),
    "hard edge of a shadow": Condition(partial(shadowed, hard=True)),
    "paper on a dark desk": Condition(
        lambda digit, generator: paper.on_a_desk(written(digit, generator), generator)
    ),
    "two digits": Condition(two, digits=2),
}
