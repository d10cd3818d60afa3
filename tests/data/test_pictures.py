from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet_multi.data import pictures
from lenet_multi.errors import UserError

GREY = np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)


def saved(folder: Path, *images: Image.Image, ending: str = "png") -> list[Path]:
    """Return the paths of images, once saved."""
    paths = [folder / f"{index}.{ending}" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        image.save(path)
    return paths


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "pgm"])
def test_grey_pictures_come_back(tmp_path: Path, ending: str) -> None:
    """Grey pictures of any lossless format give the bytes that were saved."""
    paths = saved(tmp_path, *map(Image.fromarray, GREY), ending=ending)
    np.testing.assert_array_equal(pictures.read(tmp_path, paths), GREY)


def test_coloured_pictures_come_back(tmp_path: Path) -> None:
    """Coloured pictures have three channels, also where they are opaque in a fourth."""
    images = [Image.fromarray(image) for image in COLOUR]
    images[1] = images[1].convert("RGBA")
    np.testing.assert_array_equal(pictures.read(tmp_path, saved(tmp_path, *images)), COLOUR)


def test_a_grey_palette_is_grey(tmp_path: Path) -> None:
    """Grey pictures with a palette, such as GIFs, have one channel."""
    paths = saved(tmp_path, *(Image.fromarray(image).convert("P") for image in GREY), ending="gif")
    np.testing.assert_array_equal(pictures.read(tmp_path, paths), GREY)


@pytest.mark.parametrize("first", [0, 1])
def test_a_grey_picture_fits_among_coloured_ones(tmp_path: Path, first: int) -> None:
    """A grey picture among coloured ones gets three equal channels, wherever it stands."""
    both = [Image.fromarray(GREY[0]), Image.fromarray(COLOUR[0])]
    found = pictures.read(tmp_path, saved(tmp_path, both[first], both[1 - first]))
    np.testing.assert_array_equal(found[first], np.repeat(GREY[0][..., np.newaxis], 3, axis=-1))
    np.testing.assert_array_equal(found[1 - first], COLOUR[0])


def test_pictures_of_two_sizes_are_refused_by_name(tmp_path: Path) -> None:
    """The error names the picture that differs, and both sizes."""
    paths = saved(tmp_path, Image.fromarray(GREY[0]), Image.fromarray(GREY[1, 1:]))
    with pytest.raises(UserError, match=r"1\.png has 5x5 pixels but others have 6x5; make"):
        pictures.read(tmp_path, paths)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(GREY[0].astype(np.uint16) * 257), "has mode I;16; save it with 8 bits"),
        (Image.new("RGBA", (5, 6)), "is transparent; save it on a plain ground"),
        (Image.new("LA", (5, 6)), "is transparent"),
        (Image.new("RGB", (9000, 9000)), "decompression bomb"),
    ],
    ids=["16 bits", "transparent", "grey and transparent", "bomb"],
)
def test_what_would_lose_something_is_refused(
    tmp_path: Path, image: Image.Image, message: str
) -> None:
    """Sixteen bits, transparency and bombs are refused by name."""
    paths = saved(tmp_path, image)
    with pytest.raises(UserError, match=message) as caught:
        pictures.read(tmp_path, paths)
    assert str(paths[0]) in str(caught.value)


def test_many_pictures_that_unpack_to_far_more_are_refused(tmp_path: Path) -> None:
    """Small bombs that each pass are refused together, before memory is taken."""
    paths = saved(tmp_path, Image.new("L", (3000, 3000))) * 5000
    with pytest.raises(UserError, match="decompression bomb"):
        pictures.read(tmp_path, paths)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"#!/bin/sh"])
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """A damaged file is named."""
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png is no readable picture"):
        pictures.read(tmp_path, [tmp_path / "a.png"])
    with pytest.raises(UserError, match=r"missing\.png"):
        pictures.read(tmp_path, [tmp_path / "missing.png"])
