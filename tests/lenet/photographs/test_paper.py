import numpy as np
import pytest
from PIL import Image, ImageDraw

from lenet_multi.lenet.photographs import paper
from tests.lenet.photographs.material import seven


def desk(sheet: Image.Image, angle: float = 0, level: int = 50) -> Image.Image:
    """Return a sheet that lies on a desk of this level, turned by some degrees."""
    image = Image.new("L", (400, 400), level)
    image.paste(sheet, ((400 - sheet.width) // 2, (400 - sheet.height) // 2))
    return image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=level).convert("RGB")


PAGE = seven(size=(240, 280))


@pytest.mark.parametrize("angle", [0, 7, -20], ids=["straight", "turned", "turned more"])
def test_a_sheet_on_a_desk_is_found(angle: float) -> None:
    """What is left of the desk has the sheet's colour; the ink is all there."""
    found = paper.alone(desk(PAGE, angle))
    levels = np.asarray(found.convert("L"))
    assert np.abs(levels[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int) - 230).max() <= 2
    whole = np.asarray(PAGE.rotate(angle, Image.Resampling.BICUBIC, fillcolor=230))
    assert abs(int((levels < 130).sum()) - int((whole < 130).sum())) <= 20


def test_a_straight_sheet_keeps_its_pixels() -> None:
    """It is cut a little within its edge."""
    found = paper.alone(desk(PAGE)).convert("L")
    inset = (PAGE.width - found.width) // 2, (PAGE.height - found.height) // 2
    assert 0 < max(inset) <= 20
    box = (inset[0], inset[1], inset[0] + found.width, inset[1] + found.height)
    inner, cut = (np.asarray(one)[20:-20, 20:-20] for one in (PAGE.crop(box), found))
    assert np.corrcoef(inner.ravel(), cut.ravel())[0, 1] > 0.9


def round_plate() -> Image.Image:
    """Return a plate with a digit on it."""
    image = Image.new("L", (400, 400), 50)
    ImageDraw.Draw(image).ellipse((60, 60, 340, 340), 230)
    image.paste(seven(size=(100, 120)), (150, 140))
    return image.convert("RGB")


def long_bar() -> Image.Image:
    """Return a digit 1 in chalk, with a gap in it."""
    image = Image.new("L", (400, 400), 50)
    ImageDraw.Draw(image).rectangle((150, 20, 260, 380), 230)
    ImageDraw.Draw(image).rectangle((190, 200, 200, 210), 50)
    return image.convert("RGB")


@pytest.mark.parametrize(
    "image",
    [
        PAGE.convert("RGB"),
        desk(PAGE, level=190),
        desk(Image.new("L", (240, 280), 230)),
        desk(PAGE).crop((80, 60, 400, 400)),
        desk(PAGE).resize((47, 47)),
        round_plate(),
        long_bar(),
    ],
    ids=[
        *("no desk", "a bright desk", "an empty sheet", "a sheet at two edges", "few pixels"),
        *("a plate", "a bar"),
    ],
)
def test_other_pictures_stay_whole(image: Image.Image) -> None:
    """Without a bright rectangle with ink on it, on a dark ground, there is no sheet."""
    assert paper.alone(image) is image
