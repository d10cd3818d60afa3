import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lenet_multi.errors import UserError
from lenet_multi.lenet import resized
from lenet_multi.lenet.photographs import files

LOSSLESS = ("BMP", "PNG", "PPM", "TIFF")


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    kind=st.sampled_from(LOSSLESS),
    seed=st.integers(0, 99),
)
def test_an_image_of_the_models_size_keeps_its_pixels(
    shape: tuple[int, int, int], kind: str, seed: int
) -> None:
    """An image of the model's size, saved as a lossless file, is read back to the same pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if shape[2] == 1 else pixels).save(file, kind)
    file.seek(0)
    np.testing.assert_array_equal(resized.read_input(file, "x", shape), pixels)


def test_another_size_is_stretched(tmp_path: Path) -> None:
    """The whole of a wide image is kept: its left half stays the left half."""
    image = Image.new("RGB", (200, 100), (255, 0, 0))
    image.paste((0, 0, 255), (100, 0, 200, 100))
    image.save(tmp_path / "wide.png")
    found = resized.read_input(tmp_path / "wide.png", "wide.png", (32, 32, 3))
    assert found.shape == (32, 32, 3)
    assert (found[:, :15] == (255, 0, 0)).all()
    assert (found[:, 17:] == (0, 0, 255)).all()
    between = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found, between)


def test_a_large_jpeg_is_read_at_twice_the_models_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Width and height each have their limit."""
    asked = []

    def read(source: Path, **how: object) -> Image.Image:
        asked.append(how)
        return Image.new("RGB", (30, 20))

    monkeypatch.setattr(files, "read", read)
    assert resized.read_input(Path(), "a photograph", (20, 30, 3)).shape == (20, 30, 3)
    assert asked == [{"name": "a photograph", "draft": (60, 40)}]


def test_a_large_jpeg_is_not_read_smaller_than_asked(tmp_path: Path) -> None:
    """For a model of large images, a JPEG is not decoded at a smaller size."""
    stripes = np.zeros((2048, 2048), np.uint8)
    stripes[:, ::4] = stripes[:, 1::4] = 255
    Image.fromarray(stripes).save(tmp_path / "fine.jpg", quality=95)
    found = resized.read_input(tmp_path / "fine.jpg", "fine.jpg", (1024, 1024, 1))
    assert np.ptp(found[512, :16].astype(int)) > 60


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "x.png").write_text("text")
    with pytest.raises(UserError, match=r"x\.png is no image"):
        resized.read_input(tmp_path / "x.png", "x.png", (8, 8, 3))
