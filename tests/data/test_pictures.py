from pathlib import Path
from typing import Any

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
    found = pictures.read(tmp_path, paths)
    np.testing.assert_array_equal(found, GREY)
    assert found.dtype == np.uint8


def test_the_bytes_of_all_files_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages on all pictures name their folder, those on one its file."""
    paths = saved(tmp_path, *map(Image.fromarray, GREY))
    size = sum(len(path.read_bytes()) for path in paths)

    def stacked(*given: Any) -> Any:
        source, named, *counts = given
        assert [source, *counts] == [tmp_path, 3, size]
        assert [name for name, _ in named] == [str(path) for path in paths]
        return GREY

    monkeypatch.setattr(pictures, "stacked", stacked)
    assert pictures.read(tmp_path, paths) is GREY


def test_no_pictures_are_an_empty_array(tmp_path: Path) -> None:
    """A table may have no rows."""
    found = pictures.stacked(tmp_path, [], 0, 0)
    assert found.shape == (0, 0, 0)
    assert found.dtype == np.uint8


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


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("I;16", "has mode I;16; save it with 8 bits for each channel"),
        ("HSV", "has mode HSV; save it with 8 bits for each channel"),
        ("RGBA", "is transparent; save it on a plain ground"),
    ],
)
def test_a_refusal_is_one_whole_line(mode: str, words: str) -> None:
    """The name comes first and the remedy last."""
    picture = Image.new(mode, (2, 2))
    with pytest.raises(UserError) as refused:
        pictures._pixels(picture, "a.png")
    assert str(refused.value) == f"a.png {words}"


def test_pictures_of_two_sizes_are_one_whole_line(tmp_path: Path) -> None:
    """Height comes first, as in arrays; a transparent pixel is enough to refuse a picture."""
    for images in (GREY, COLOUR):
        named = [("a", images[0]), ("b", images[1, 1:])]
        with pytest.raises(UserError) as refused:
            pictures.stacked(tmp_path, named, 2, 99)
        assert str(refused.value) == (
            "b has 5x5 pixels but others have 6x5; make all pictures alike first"
        )
    almost = Image.new("RGBA", (2, 2), (0, 0, 0, 255))
    assert pictures._pixels(almost, "a").shape == (2, 2, 3)
    almost.putpixel((1, 1), (0, 0, 0, 254))
    with pytest.raises(UserError, match="is transparent"):
        pictures._pixels(almost, "a")


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        *(("1", (2, 3)), ("L", (2, 3)), ("LA", (2, 3)), ("P", (2, 3)), ("PA", (2, 3))),
        *(("RGB", (2, 3, 3)), ("CMYK", (2, 3, 3)), ("YCbCr", (2, 3, 3))),
    ],
)
def test_a_mode_is_grey_or_coloured(mode: str, shape: tuple[int, ...]) -> None:
    """A palette is as grey as its colours; any other coloured mode stays coloured."""
    picture = Image.new("LA" if mode in ("LA", "PA") else "L", (3, 2), 255)
    if mode in ("LA", "PA"):
        picture.putalpha(255)
    found = pictures._pixels(picture.convert(mode), "a")
    assert found.shape == shape
    assert found.dtype == np.uint8
    assert (found == 255).all()


def test_a_coloured_palette_is_coloured(tmp_path: Path) -> None:
    """One pixel of another colour is enough."""
    picture = Image.new("P", (2, 2))
    picture.putpalette([7, 7, 7, 7, 7, 8])
    assert pictures._pixels(picture, "a").tolist() == [[7, 7], [7, 7]]
    picture.putpixel((1, 1), 1)
    assert pictures._pixels(picture, "a")[1, 1].tolist() == [7, 7, 8]


def test_a_damaged_picture_is_one_whole_line(tmp_path: Path) -> None:
    """A picture that is turned by its camera is turned back; one that is cut is named."""
    (path,) = saved(tmp_path, Image.fromarray(GREY[0]))
    with pytest.raises(UserError) as refused:
        pictures.decoded(path.read_bytes()[:60], "a.png")
    assert str(refused.value) == (
        "a.png is no readable picture: image file is truncated; save it again, or take it out"
    )
    Image.fromarray(COLOUR[0]).save(tmp_path / "a.pcx")
    with pytest.raises(UserError, match="is no readable picture: cannot identify image file"):
        pictures.decoded((tmp_path / "a.pcx").read_bytes(), "a.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(GREY[0]).save(path, exif=exif)
    np.testing.assert_array_equal(pictures.decoded(path.read_bytes(), "a"), GREY[0][::-1, ::-1])
    missing = tmp_path / "missing.png"
    with pytest.raises(UserError) as refused:
        pictures.read(tmp_path, [missing])
    assert str(refused.value) == (
        f"cannot read {missing}: No such file or directory; give a readable file"
    )


@pytest.mark.filterwarnings("error")
def test_a_warning_of_pillow_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of more pixels than Pillow likes is refused by its bytes alone."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    (path,) = saved(tmp_path, Image.fromarray(GREY[0]))
    np.testing.assert_array_equal(pictures.decoded(path.read_bytes(), "a"), GREY[0])


def test_the_sizes_of_bombs_count_all_channels_and_all_pictures(tmp_path: Path) -> None:
    """Together they may take as much as their files, a hundred times."""
    picture = np.zeros((2**10, 2**10), np.uint8)
    named = [("a", picture), ("b", picture)]
    pictures.stacked(tmp_path, named, 64, 0)
    with pytest.raises(UserError, match=f"^{tmp_path} announces 68,157,440 bytes"):
        pictures.stacked(tmp_path, named, 65, 0)
    pictures.stacked(tmp_path, named, 100, 2**20)
    with pytest.raises(UserError, match=r"announces 105,906,176 bytes, .* its own 1,048,576: "):
        pictures.stacked(tmp_path, named, 101, 2**20)
