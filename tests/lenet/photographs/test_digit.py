import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs import digit
from lenet_multi.lenet.photographs import levels as two_levels
from lenet_multi.lenet.photographs.digit import prepare, read_input
from lenet_multi.lenet.photographs.files import read
from tests.lenet.photographs.material import (
    MODES,
    NEGATIVE,
    ROUNDING,
    enlarged,
    gap,
    page,
    saved,
    seven,
    shared,
    tight,
    to_mode,
)


def test_the_ink_is_where_mnist_has_it() -> None:
    """The ink is light on black, 20 pixels along the longer side, with its mass centred."""
    digit = prepare(seven())
    assert digit.shape == (28, 28)
    assert digit.dtype == np.uint8
    assert digit.max() == 255
    rows, columns = np.nonzero(digit)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    mass = digit / digit.sum()
    for axis in range(2):
        assert abs((mass.sum(axis=1 - axis) * np.arange(28)).sum() - 14) <= 0.51


def drawings() -> dict[str, Image.Image]:
    """Return drawings as people make them, by what is hard about each."""
    numbers = np.random.default_rng(0)
    page = np.asarray(seven(size=(300, 200)), np.float64)
    light = np.linspace(0.5, 1, 300) * np.linspace(0.7, 1, 200)[:, np.newaxis] ** 2
    lit = np.clip(page * light + numbers.normal(0, 4, page.shape), 0, 255).astype(np.uint8)
    blue = np.stack([page, 0.6 * page + 60, np.full(page.shape, 180.0)], axis=-1).astype(np.uint8)
    small = Image.new("L", (1600, 1200), 230)
    small.paste(seven(), (900, 300))
    hair = Image.new("L", (400, 500), 200)
    ImageDraw.Draw(hair).line([(90, 100), (300, 110), (180, 400)], 40, 3)
    dirty = seven(size=(280, 280))
    pencil = ImageDraw.Draw(dirty)
    for place in ((20, 30, 24, 34), (250, 200, 262, 209), (0, 120, 9, 170)):
        pencil.rectangle(place, 60)
    return {
        "uneven light": Image.fromarray(lit),
        "colour": Image.fromarray(blue),
        "far away": small,
        "a hair": hair,
        "dirt": dirty,
        "light on dark": seven(paper=20, ink=210, size=(90, 60)),
        "tiny": seven(size=(14, 14)),
    }


RECORDED = Path(__file__).with_name("digits.npz")  # see `record`


def record() -> None:
    """Write down what `prepare` makes of each drawing, when it is meant to change."""
    found: dict[str, Any] = {name: prepare(one) for name, one in drawings().items()}
    np.savez_compressed(RECORDED, **found)


@pytest.mark.parametrize("name", drawings())
def test_a_drawing_gives_the_digit_that_was_recorded(name: str) -> None:
    """What `prepare` finds stays as it is, to a rounding."""
    with np.load(RECORDED) as recorded:
        assert gap(prepare(drawings()[name]), recorded[name]) <= ROUNDING


def test_specks_are_no_strokes() -> None:
    """A speck beside the digit and a mark at the border change nothing."""
    image = seven()
    pencil = ImageDraw.Draw(image)
    pencil.rectangle((10, 20, 11, 21), 30)
    pencil.rectangle((0, 110, 8, 125), 30)
    assert gap(prepare(image), prepare(seven())) <= 8 * ROUNDING  # the background shifts a little


@pytest.mark.parametrize("width", [2, 5], ids=["a hair", "thin"])
def test_a_thin_pen_writes_as_thick_as_mnists(width: int) -> None:
    """Thin lines are widened before scaling, so they do not fade."""
    image = Image.new("L", (900, 1200), 230)
    ImageDraw.Draw(image).line([(300, 300), (600, 300), (420, 800)], 30, width)
    digit = prepare(image)
    assert digit.max() == 255
    thick = digit[digit.shape[0] // 2] / 255
    assert 2 <= thick.sum() <= 4  # pixels of ink across a slanted stroke


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_same(mode: str) -> None:
    """An image gives the same digit in every mode."""
    assert gap(prepare(to_mode(seven(), mode)), prepare(seven())) <= ROUNDING


def test_a_bilevel_image_will_do() -> None:
    """A black-and-white image gives the same digit."""
    assert gap(prepare(seven(paper=255, ink=0).convert("1")), prepare(seven())) <= ROUNDING


def test_a_digit_has_as_many_channels_as_are_asked(tmp_path: Path) -> None:
    """All alike; an error names the file."""
    seven().save(tmp_path / "seven.png")
    found = read_input(tmp_path / "seven.png", "a seven", (32, 32, 3))
    np.testing.assert_array_equal(found, np.stack([prepare(seven(), 32)] * 3, axis=-1))
    with pytest.raises(UserError, match=r"^a page: nothing is drawn on it"):
        read_input(saved(Image.new("L", (90, 90), 200), "PNG"), "a page", (28, 28, 1))
    with pytest.raises(UserError, match=r"^a text is no image"):
        read_input(io.BytesIO(b"just text"), "a text", (28, 28, 1))


@pytest.mark.parametrize(
    ("size", "contrast", "is_read"),
    [((15, 9), 12, True), ((16, 9), 12, False), ((15, 9), 11, False)],
    ids=["tiny", "larger", "too faint"],
)
def test_a_tiny_image_needs_no_two_levels(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], contrast: int, *, is_read: bool
) -> None:
    """Below 16 pixels, a contrast of 12 levels is enough."""
    pixels = np.zeros((*size[::-1], 3), np.uint8)
    pixels[0, 0] = contrast
    seen, first = np.ones((2, 2), np.float32), UserError("nothing")
    monkeypatch.setattr(two_levels, "has_two", lambda image: False)
    monkeypatch.setattr(digit, "find", lambda image: seen)
    image = Image.fromarray(pixels)
    if is_read:
        assert digit._in_few_pixels(image, size, first) is seen
        return
    with pytest.raises(UserError) as caught:
        digit._in_few_pixels(image, size, first)
    assert caught.value is first


def test_a_tiny_image_without_a_digit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error gives its size, and says what to give instead."""

    def nothing(image: Image.Image) -> None:
        raise UserError("nothing")

    monkeypatch.setattr(digit, "find", nothing)
    image = Image.linear_gradient("L").resize((15, 9)).convert("RGB")
    with pytest.raises(UserError) as caught:
        digit._in_few_pixels(image, (15, 9), UserError(""))
    assert str(caught.value) == (
        "no digit stands out in its 15x9 pixels; give a larger image, with a margin around the "
        "digit"
    )


@pytest.mark.parametrize(
    ("box", "looks"),
    [((10, 20, 60, 40), 1), ((10, 20, 59, 40), 2), ((20, 10, 40, 60), 1), ((20, 10, 40, 59), 2)],
    ids=["half as wide", "narrower", "half as high", "lower"],
)
def test_a_digit_is_looked_at_nearer_in_less_than_half_the_image(
    monkeypatch: pytest.MonkeyPatch, box: tuple[int, int, int, int], looks: int
) -> None:
    """The second look is at the crop around the strokes."""
    sizes = []

    def find(image: Image.Image) -> tuple[int, tuple[int, int, int, int]]:
        sizes.append(image.size)
        return len(sizes), box

    monkeypatch.setattr(digit, "_look", find)
    assert digit.find(Image.new("RGB", (100, 90))) == looks
    assert sizes == [(100, 90), (box[2] - box[0], box[3] - box[1])][:looks]


@pytest.mark.parametrize(
    ("image", "shape", "box"),
    [
        (page((40, 30, 49, 59)), (30, 10), (28, 18, 63, 73)),
        (page((40, 30, 49, 59), (600, 480)), (79, 28), (162, 104, 377, 438)),
        (page((4, 3, 13, 72)), (70, 10), (0, 0, 43, 80)),
        (page((85, 30, 95, 40)), (11, 11), (80, 25, 100, 46)),
    ],
    ids=["small", "large", "high", "at the right"],
)
def test_the_strokes_are_found_with_a_margin(
    image: Image.Image, shape: tuple[int, int], box: tuple[int, ...]
) -> None:
    """Of 40 % of their longer side, in pixels of the whole image, as far as it has them."""
    ink, found = digit._look(image)
    assert (ink.shape, found) == (shape, box)
    assert ink[len(ink) // 2].max() == 1


def blank(size: tuple[int, int], *, ramp: float = 0, noise: float = 0) -> Image.Image:
    """Return an empty page with uneven light and noise."""
    width, height = size
    levels = 150 + ramp * np.linspace(-1, 1, width) * np.ones((height, 1))
    levels = levels + np.random.default_rng(0).normal(0, noise, levels.shape)
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "page",
    [
        blank((1, 1)),
        blank((1, 90)),
        blank((100, 80)),
        blank((100, 80), ramp=90),
        blank((300, 200), noise=10),
    ],
    ids=["one pixel", "a column", "plain", "uneven light", "noise"],
)
def test_an_empty_page_is_refused(page: Image.Image) -> None:
    """A page with only light and noise is refused."""
    with pytest.raises(UserError, match="nothing is drawn on it"):
        prepare(page)


@pytest.mark.filterwarnings("error")  # a median of no pixels would warn
def test_an_image_of_nothing_is_refused() -> None:
    """A fully transparent page and an image without pixels are refused."""
    clear = saved(Image.new("RGBA", (90, 90), (0, 0, 0, 0)), "PNG")
    with pytest.raises(UserError, match="nothing is drawn on it"):
        prepare(read(clear))
    with pytest.raises(UserError, match=r"^it has no pixels; give another image$"):
        prepare(Image.new("L", (0, 90)))


@pytest.mark.parametrize("side", [8, 12, 16])
def test_a_tiny_digit_is_read(small: Dataset, side: int) -> None:
    """A digit of a few pixels looks like the larger one once it is read."""
    likeness = []
    for number in small.test.x[:60, ..., 0]:
        tiny = Image.fromarray(number).resize((side, side), Image.Resampling.BOX)
        likeness.append(shared(prepare(tiny), prepare(Image.fromarray(number))))
    assert np.median(likeness) > 0.45  # measured 0.49, 0.59 and 0.62


@pytest.mark.parametrize("count", [2, 3, 4, 6])
@pytest.mark.parametrize("factor", [1, 5])
def test_several_digits_in_a_row_are_refused(small: Dataset, count: int, factor: int) -> None:
    """A strip of digits is not read as one; the error says what to do."""
    for begin in range(0, 60, count):
        digits = [tight(number) for number in small.test.x[begin : begin + count, ..., 0]]
        strip = np.hstack([np.pad(one, ((4, 28 - len(one)), (4, 4))) for one in digits])
        with pytest.raises(UserError, match="digits are drawn on it; give an image of each digit"):
            prepare(Image.fromarray(enlarged(strip, factor)))


def test_a_small_digit_is_looked_at_nearer() -> None:
    """A digit on a page twenty times its size gives almost the same as alone."""
    page = Image.new("L", (2400, 2400), 230)
    page.paste(seven(), (800, 600))
    found, alone = prepare(page).ravel(), prepare(seven()).ravel()
    assert np.corrcoef(found, alone)[0, 1] > 0.95  # measured 0.99; 0.73 without the second look


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(12, 400), st.floats(0.25, 4)),  # paper, not ribbons
    paper=st.integers(0, 255),
    contrast=st.integers(60, 255),
    mode=st.sampled_from(MODES),
    side=st.integers(8, 64),
)
def test_any_image_becomes_one_of_mnists(
    shape: tuple[int, float], paper: int, contrast: int, mode: str, side: int
) -> None:
    """Any size, mode and polarity gives (side, side) uint8 with ink at full strength."""
    size = shape[0], max(12, min(400, round(shape[0] * shape[1])))
    ink = paper - contrast if paper >= contrast else min(255, paper + contrast)
    if abs(ink - paper) < 60:
        ink = 255 - paper
    digit = prepare(to_mode(seven(size=size, paper=paper, ink=ink), mode), side)
    assert digit.shape == (side, side)
    assert digit.dtype == np.uint8
    assert digit.max() > 200
    assert digit.min() == 0


@settings(deadline=None, max_examples=30)
@given(index=st.integers(0, 499), levels=st.tuples(st.integers(0, 90), st.integers(160, 255)))
def test_light_on_dark_is_dark_on_light(
    small: Dataset, index: int, levels: tuple[int, int]
) -> None:
    """An image and its negative give the same digit."""
    low, high = levels
    digit = small.test.x[index, ..., 0]
    drawn = low + np.kron(digit / 255, np.ones((5, 5))) * (high - low)
    image = np.rint(drawn).astype(np.uint8)
    assert gap(prepare(Image.fromarray(image)), prepare(Image.fromarray(255 - image))) <= NEGATIVE


@settings(deadline=None, max_examples=30)
@given(index=st.integers(0, 499), at=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_where_the_digit_stands_changes_nothing(
    small: Dataset, index: int, at: tuple[int, int]
) -> None:
    """A digit gives the same wherever it stands on plain paper."""
    digit = small.test.x[index, ..., 0].repeat(4, axis=0).repeat(4, axis=1)
    page = np.zeros((240, 240), np.uint8)
    page[60:172, 60:172] = digit
    moved = np.zeros_like(page)
    moved[at[0] : at[0] + 112, at[1] : at[1] + 112] = digit
    assert gap(prepare(Image.fromarray(page)), prepare(Image.fromarray(moved))) <= ROUNDING


def test_an_image_without_a_digit_is_named_by_its_own_size() -> None:
    """The error has the size of the file, not that of the image with a margin."""
    ribbon = Image.new("L", (2000, 49), 200)
    ImageDraw.Draw(ribbon).line([(0, 0), (2000, 49)], 0, 2)
    with pytest.raises(UserError, match="stands out in its 2000x49 pixels"):
        prepare(ribbon)


@pytest.mark.parametrize("both", [False, True], ids=["ruled", "squared"])
def test_lines_without_a_digit_are_refused(*, both: bool) -> None:
    """They are no strokes, nor are they with a margin around."""
    page = Image.new("L", (400, 400), 230)
    for at in range(20, 400, 60):
        ImageDraw.Draw(page).rectangle((0, at, 399, at + 3), 40)
        if both:
            ImageDraw.Draw(page).rectangle((at, 0, at + 3, 399), 40)
    with pytest.raises(UserError, match=r"^only ruled lines are drawn on it; give an image of a"):
        prepare(page)


def scribble(generator: np.random.Generator) -> Image.Image:
    """Return up to five lines, outlines, patches and rules on a page of any size and colour."""
    width, height = (int(side) for side in generator.integers(1, 260, 2))
    image = Image.new("RGB", (width, height), (int(generator.integers(256)),) * 3)
    pencil = ImageDraw.Draw(image)
    for kind in generator.integers(0, 4, generator.integers(0, 6)):
        colour = tuple(map(int, generator.integers(0, 256, 3)))
        left, right = sorted(map(int, generator.integers(-20, width + 20, 2)))
        top, bottom = sorted(map(int, generator.integers(-20, height + 20, 2)))
        thick = int(generator.integers(1, 12))
        if kind == 0:
            pencil.line((left, bottom, right, top), colour, thick)
        elif kind == 1:
            pencil.rectangle((left, top, right, bottom), outline=colour, width=thick)
        elif kind == 2:
            pencil.ellipse((left, top, right, bottom), colour)
        else:
            for row in range(thick, height, 3 * thick + 5):
                pencil.rectangle((0, row, width, row + thick // 3), colour)
    noise = generator.normal(0, generator.choice([0, 10]), (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_scribble_is_read_or_refused(seed: int) -> None:
    """It gives an image of MNIST's size or an error of ours, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with suppress(UserError):
            assert prepare(scribble(np.random.default_rng(seed))).shape == (28, 28)
