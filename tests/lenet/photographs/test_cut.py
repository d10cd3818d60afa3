import numpy as np
import pytest
from PIL import Image, ImageDraw

from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.photographs import cut
from lenet_multi.lenet.photographs.digit import prepare
from tests.lenet.photographs.material import shared, tight


@pytest.mark.parametrize(
    ("size", "larger", "margin"),
    [((8, 4), (64, 32), 32), ((65, 9), (65, 9), 32), ((63, 2), (126, 4), 63)],
    ids=["tiny", "large", "small"],
)
def test_a_margin_has_the_colour_of_the_ground(
    size: tuple[int, int], larger: tuple[int, int], margin: int
) -> None:
    """A tiny image is enlarged by a whole number first, to a quarter of the working size."""
    image = Image.new("RGB", size, (9, 80, 200))
    image.putpixel((1, 1), (255, 255, 255))
    ground = np.delete(np.asarray(image, np.float32).reshape(-1, 3), size[0] + 1, axis=0)
    found = cut.enlarged(image, ground)
    assert found.size == tuple(length + 2 * margin for length in larger)
    border = np.asarray(found)
    assert (border[:margin] == (9, 80, 200)).all()
    assert (border[:, :margin] == (9, 80, 200)).all()
    inside = border[margin:-margin, margin:-margin]
    enlarged = image.resize(larger, Image.Resampling.BICUBIC) if larger != size else image
    np.testing.assert_array_equal(inside, np.asarray(enlarged))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_tight_crop_is_read(small: Dataset, *, dark: bool) -> None:
    """A digit whose ink touches the edges is read as with a margin."""
    likeness = []
    for digit in small.test.x[:60, ..., 0]:
        crop = tight(digit)
        found = prepare(Image.fromarray(255 - crop if dark else crop))
        likeness.append(shared(found, prepare(Image.fromarray(digit))))
    assert np.median(likeness) > 0.8


def page(*bars: tuple[int, int, int, int], paper: int = 230, ink: int = 30) -> Image.Image:
    """Return a page of 120 by 120 with bars of ink."""
    image = Image.new("RGB", (120, 120), (paper,) * 3)
    for bar in bars:
        ImageDraw.Draw(image).rectangle(bar, (ink,) * 3)
    return image


STROKE = (50, 0, 70, 119)  # from edge to edge, as a digit that fills the picture
RULED = [(0, row, 119, row + 1) for row in range(0, 120, 20)]


@pytest.mark.parametrize("levels", [(230, 30), (30, 230)], ids=["dark ink", "light ink"])
@pytest.mark.parametrize(
    "bars",
    [[STROKE], [STROKE, *RULED], [(8, 8, 40, 111), (60, 8, 111, 111)]],
    ids=["from edge to edge", "on ruled paper", "almost at the frame"],
)
def test_ink_at_the_frame_gets_a_margin(
    bars: list[tuple[int, int, int, int]], levels: tuple[int, int]
) -> None:
    """The margin has the colour of the ground, whichever has more of the frame."""
    found = cut.with_margin(page(*bars, paper=levels[0], ink=levels[1]))
    assert found.size == (240, 240)
    assert found.getpixel((0, 0)) == (levels[0],) * 3


def half_shaded(image: Image.Image) -> Image.Image:
    """Return the image with a shadow on its left half."""
    light = np.where(np.arange(image.width) < image.width / 2, 0.5, 1)
    return Image.fromarray((np.asarray(image) * light[:, np.newaxis]).astype(np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        page((50, 20, 70, 100)),
        page((50, 20, 70, 100), (0, 60, 8, 70)),
        page((50, 20, 70, 100), *RULED),
        half_shaded(page((50, 20, 70, 100))),
        page((0, 0, 119, 59)),
        Image.linear_gradient("L").convert("RGB"),
        Image.new("RGB", (3, 90)),
    ],
    ids=["clear", "a mark", "ruled", "in a shadow", "a dark half", "a gradient", "three pixels"],
)
def test_other_pictures_get_no_margin(image: Image.Image) -> None:
    """Most of the ink is inside the frame, or what reaches it is no stroke."""
    assert cut.with_margin(image) is image
