import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, features

from lenet_multi.data.examples import Dataset
from lenet_multi.data.pictures import FORMATS
from lenet_multi.errors import UserError
from lenet_multi.lenet import photographs
from lenet_multi.lenet.photographs import (
    _ALSO,
    MOST_PIXELS,
    are_prepared,
    prepare,
    read,
    read_input,
)

NEGATIVE = 8  # of 255, if a pixel at the threshold changes side; none of 4,000 images was above 3
ROUNDING = 2  # of 255 levels, for the rounding of a mode or a format; measured 1

MODES = ("L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F")


def seven(*, paper: int = 230, ink: int = 30, size: tuple[int, int] = (120, 150)) -> Image.Image:
    """Return a grey page with a seven in the middle."""
    width, height = size
    image = Image.new("L", size, paper)
    points = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.75)]
    line = [(x * width, y * height) for x, y in points]
    ImageDraw.Draw(image).line(line, ink, width=max(2, min(size) // 12), joint="curve")
    return image


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return a grey image in another mode, with the same look."""
    if mode == "I;16":
        return Image.fromarray(np.asarray(image, np.uint16) * 257)
    if mode in {"HSV", "PA"}:
        image = image.convert("P" if mode == "PA" else "RGB")
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    """Return the bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def gap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """Return the largest difference between two images."""
    return int(np.abs(one.astype(int) - other).max())


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


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(kind: str) -> None:
    """Every format in `FORMATS` is read; lossy ones differ by a few levels at soft edges."""
    options = {"quality": 95} if kind in {"JPEG", "WEBP"} else {}
    image = read(saved(seven(), kind, **options))
    assert (image.mode, image.size) == ("RGB", (120, 150))
    assert gap(prepare(image), prepare(seven())) <= (40 if options else ROUNDING)


def test_sixteen_bits_keep_their_levels() -> None:
    """A faint 16-bit drawing with many levels is not clipped to white."""
    levels = 40_000 + np.asarray(seven(), np.uint16) * 10
    image = read(saved(Image.fromarray(levels), "PNG"))
    assert gap(prepare(image), prepare(seven())) <= ROUNDING


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (200, 30, 30)], ids=str)
def test_ink_on_nothing_gets_a_ground(ink: tuple[int, int, int]) -> None:
    """On a transparent page, ink of any colour is visible."""
    coverage = Image.fromarray(255 - np.asarray(seven(paper=255, ink=0)))
    image = Image.new("RGB", coverage.size, ink)
    image.putalpha(coverage)
    assert gap(prepare(read(saved(image, "PNG"))), prepare(seven())) <= ROUNDING


def test_transparent_corners_are_no_ink() -> None:
    """The transparent corners of an opaque page become paper."""
    image = seven().convert("RGBA")
    ImageDraw.Draw(image).rectangle((0, 0, 40, 12), (0, 0, 0, 0))
    assert gap(prepare(read(saved(image, "PNG"))), prepare(seven())) <= ROUNDING


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_is_turned_back(orientation: int) -> None:
    """All eight EXIF orientations come out upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = seven() if orientation == 1 else seven().transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read(saved(stored, "PNG", exif=exif))
    assert image.convert("L").tobytes() == seven().tobytes()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_taken(kind: str) -> None:
    """In a file of several frames or pages, the first one counts."""
    frames = {"save_all": True, "append_images": [seven(paper=30, ink=230)]}
    lossless = {"lossless": True} if kind == "WEBP" else {}
    image = read(saved(seven().convert("RGB"), kind, **frames, **lossless))
    assert gap(prepare(image), prepare(seven())) <= ROUNDING


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG whose header claims this many pixels, without any pixel data."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 2**20) + b"IDAT"


PNG, JPEG = saved(seven(), "PNG").getvalue(), saved(seven(), "JPEG").getvalue()


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.png is empty; give an image"),
        (b"just text", f"x.png is no image; give one of {', '.join((*FORMATS, *_ALSO))}"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "x.png is in the format PostScript"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x.png is in the format SVG"),
        (
            PNG[: len(PNG) // 2],
            "x.png is a damaged or truncated image: image file is truncated; give",
        ),
        (JPEG[: len(JPEG) // 2], "x.png is a damaged or truncated image"),
        (PNG.replace(b"IHDR", b"IHDX"), "x.png is no image"),
        (png_claiming(10_000, 5_001), "x.png has more than 50 megapixels; give a smaller image"),
        (png_claiming(10_000, 9_500), "x.png has more than 50 megapixels"),
        (png_claiming(2**31 - 1, 2**31 - 1), "x.png has more than 50 megapixels"),
        (png_claiming(10_000, 5_000), "x.png is a damaged or truncated image"),
    ],
    ids=[
        *("empty", "text", "EPS", "SVG", "half a PNG", "half a JPEG", "a PNG without a header"),
        *("just too large", "where Pillow warns", "where Pillow refuses", "largest"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """The error names the file; a bomb is recognized by its header, since there is nothing else."""
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(message)


def boxed(brand: bytes, *compatible: bytes) -> bytes:
    """Return the beginning of a file of a telephone's camera: a box that names its kinds."""
    brands = brand + bytes(4) + b"".join(compatible)
    return (len(brands) + 8).to_bytes(4) + b"ftyp" + brands + bytes(64)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (boxed(b"heic", b"mif1"), "HEIC"),
        (boxed(b"mif1", b"heic"), "HEIC"),
        (boxed(b"hevc"), "HEIC"),
        (boxed(b"heix"), "HEIC"),
        (boxed(b"heim"), "HEIC"),
        (boxed(b"mif1"), "HEIC"),
        (boxed(b"msf1"), "HEIC"),
        (boxed(*[b"isom"] * 60, b"heic"), "HEIC"),  # the last of 256 bytes
        (b"\x00\x00\x00\x00ftypheic" + bytes(64), "HEIC"),  # a box of no length
        (b"%PDF-1.7\n", "PDF"),
        (b"\xff\x0a1234", "JPEG XL"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\x00\x01", "PSD"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"gimp xcf v011\x00", "XCF"),
        (b"\x00\x00\x01\x00\x01\x00\x10\x10", "ICO"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<!-- Inkscape -->\n<svg></svg>", "SVG"),
    ],
    ids=[
        *("HEIC", "HEIF", "HEVC", "HEIX", "HEIM", "MIF1", "MSF1", "many kinds", "no length"),
        *("PDF", "JPEG XL", "JPEG 2000", "PSD"),
        *("PostScript", "XCF", "ICO", "SVG", "SVG in XML"),
    ],
)
def test_a_picture_of_another_format_is_named(content: bytes, name: str) -> None:
    """The error names the format of a picture that is not read, and a format to save it in."""
    with pytest.raises(UserError, match=f"^the image is in the format {name}.*; save it as JPEG"):
        read(io.BytesIO(content))


@pytest.mark.parametrize(
    "content",
    [
        boxed(b"isom"),
        boxed(b"qt  "),
        boxed(b"mp42"),
        boxed(b"isom")[:-8] + b"heic",
        boxed(*[b"isom"] * 61, b"heic"),
        boxed(*[b"isom"] * 60, b"\x00heic"),
        b"\x00\x00\x00\x00ftypisom\x00heic",
        b"heic" + boxed(b"isom")[4:],
        b" " * 1021 + b"<svg",
    ],
    ids=[
        *("MPEG", "QuickTime", "MP4", "outside the box", "too far", "a byte too far"),
        *("a byte outside a box of no length", "before the box", "late SVG"),
    ],
)
def test_a_film_is_no_image(content: bytes) -> None:
    """A film, whose file begins like a HEIC, is none; nor is a text that names a format late."""
    with pytest.raises(UserError, match="the image is no image"):
        read(io.BytesIO(content))


def test_a_telephones_owner_reads_what_to_set() -> None:
    """The error for a HEIC names the telephone's setting."""
    with pytest.raises(UserError) as caught:
        read(io.BytesIO(boxed(b"heic")))
    assert str(caught.value) == (
        "the image is in the format HEIC, as telephones do (iPhone: Settings, Camera, Formats, "
        "Most Compatible), which is not read; save it as JPEG or PNG"
    )


def test_the_word_may_be_the_last_of_a_kilobyte() -> None:
    """An SVG may have a comment before it."""
    with pytest.raises(UserError, match="in the format SVG"):
        read(io.BytesIO(b" " * 1020 + b"<svg"))


@pytest.mark.parametrize("brand", [b"avif", b"avis"])
def test_a_format_that_is_not_asked_for_is_named(brand: bytes) -> None:
    """The error names the file as it is called."""
    words = "^my drawing is in the format AVIF, which is not read; save it as JPEG or PNG$"
    with pytest.raises(UserError, match=words):
        read(io.BytesIO(boxed(brand, b"mif1")), name="my drawing", formats=FORMATS)


def test_the_most_pixels_may_be_others() -> None:
    """An image of just as many is read; the error has the limit in millions."""
    assert read(saved(seven(), "PNG"), most_pixels=120 * 150).size == (120, 150)
    with pytest.raises(UserError, match=r"^the image has more than 0 megapixels; give a smaller"):
        read(saved(seven(), "PNG"), most_pixels=120 * 150 - 1)


def test_a_large_jpeg_is_decoded_at_a_smaller_size() -> None:
    """No smaller than 512 pixels, or as asked."""
    image = seven(size=(2048, 1024))
    assert read(saved(image, "JPEG")).size == (1024, 512)
    assert read(saved(image, "JPEG"), draft=(100, 100)).size == (256, 128)


def test_a_digit_has_as_many_channels_as_are_asked(tmp_path: Path) -> None:
    """All alike; an error names the file."""
    seven().save(tmp_path / "seven.png")
    found = read_input(tmp_path / "seven.png", "a seven", (32, 32, 3))
    np.testing.assert_array_equal(found, np.stack([prepare(seven(), 32)] * 3, axis=-1))
    with pytest.raises(UserError, match=r"^a page: nothing is drawn on it"):
        read_input(saved(Image.new("L", (90, 90), 200), "PNG"), "a page", (28, 28, 1))
    with pytest.raises(UserError, match=r"^a text is no image"):
        read_input(io.BytesIO(b"just text"), "a text", (28, 28, 1))


CLEAR = [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("pixels", "colour"),
    [
        ([CLEAR, CLEAR, [9, 9, 9, 127]], (255, 255, 255)),
        ([[9, 8, 7, 128], [90, 80, 70, 127]], (9, 8, 7)),
        ([[9, 8, 7, 255], [90, 80, 70, 255], [91, 80, 70, 255]], (90, 80, 70)),
        ([[9, 8, 7, 255], CLEAR, CLEAR], (255, 255, 255)),
        ([[200, 100, 81, 255], CLEAR, CLEAR], (255, 255, 255)),
        ([[200, 100, 84, 255], CLEAR, CLEAR], (0, 0, 0)),
    ],
    ids=["nothing", "half", "paper", "dark ink", "darker ink", "light ink"],
)
def test_a_ground_fits_what_is_opaque(pixels: list[list[int]], colour: tuple[int, ...]) -> None:
    """Paper goes on; under ink, less than half of the page, is black or white."""
    ground = photographs._ground_colour(np.array([pixels], np.uint8))
    assert ground == (*colour, 255)
    assert {type(level) for level in ground} == {int}


def test_levels_are_stretched() -> None:
    """From the lowest to the highest; what is no number counts as 0."""
    levels = np.array([[np.nan, np.inf, -np.inf], [0, 1, 3]], np.float32)
    stretched = photographs._stretched(Image.fromarray(levels))
    assert stretched.mode == "L"
    assert np.asarray(stretched).tolist() == [[0, 0, 0], [0, 85, 255]]
    found = np.asarray(photographs._stretched(Image.fromarray(levels[1:] + 2)))
    assert found.tolist() == [[0, 85, 255]]
    assert not np.asarray(photographs._stretched(Image.new("I", (2, 2), 7))).any()
    small = np.array([[0, 0.25, 0.5]], np.float32)
    assert np.asarray(photographs._plain(Image.fromarray(small)))[..., 0].tolist() == [
        [0, 127, 255]
    ]
    far = np.array([[-(2**31), 2**31 - 1]], np.int32)
    assert np.asarray(photographs._stretched(Image.fromarray(far))).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("levels", "has_two"),
    [
        ([0, 255, 255], True),
        ([7, 7, 19], True),
        ([7, 7, 18], False),
        ([0, 100, 200], False),  # 75 % of the variance
        ([0, 0, 100, 200, 200], True),  # 83 %
        ([*[0] * 4, *[100] * 3, *[200] * 4], False),  # 79 %
        ([0, 60, 120, 180, 240], False),
    ],
    ids=["two", "just enough", "too faint", "three", "mostly two", "almost", "ramp"],
)
def test_two_levels_are_ground_and_ink(levels: list[int], *, has_two: bool) -> None:
    """The best threshold must explain 80 % of the variance."""
    image = Image.fromarray(np.array([levels[::-1]], np.uint8))
    assert photographs._has_two_levels(image) is has_two


def test_two_levels_are_looked_for_in_grey() -> None:
    """An even page has one level, whatever its colour."""
    assert not photographs._has_two_levels(Image.new("RGB", (4, 4), (255, 0, 0)))


@pytest.mark.parametrize(
    ("size", "levels", "is_read"),
    [((15, 9), 12, True), ((16, 9), 12, False), ((15, 9), 11, False)],
    ids=["tiny", "larger", "too faint"],
)
def test_a_tiny_image_needs_no_two_levels(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], levels: int, *, is_read: bool
) -> None:
    """Below 16 pixels, a contrast of 12 levels is enough."""
    pixels = np.zeros((*size[::-1], 3), np.uint8)
    pixels[0, 0] = levels
    digit, first = np.ones((2, 2), np.float32), UserError("nothing")
    monkeypatch.setattr(photographs, "_has_two_levels", lambda image: False)
    monkeypatch.setattr(photographs, "_digit", lambda image: digit)
    image = Image.fromarray(pixels)
    if is_read:
        assert photographs._digit_without_margin(image, first) is digit
        return
    with pytest.raises(UserError) as caught:
        photographs._digit_without_margin(image, first)
    assert caught.value is first


def test_a_tiny_image_without_a_digit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error gives its size, and says what to give instead."""

    def digit(image: Image.Image) -> None:
        raise UserError("nothing")

    monkeypatch.setattr(photographs, "_digit", digit)
    image = Image.linear_gradient("L").resize((15, 9)).convert("RGB")
    with pytest.raises(UserError) as caught:
        photographs._digit_without_margin(image, UserError(""))
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

    monkeypatch.setattr(photographs, "_find", find)
    assert photographs._digit(Image.new("RGB", (100, 90))) == looks
    assert sizes == [(100, 90), (box[2] - box[0], box[3] - box[1])][:looks]


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
    found = photographs._with_margin(image)
    assert found.size == tuple(length + 2 * margin for length in larger)
    border = np.asarray(found)
    assert (border[:margin] == (9, 80, 200)).all()
    assert (border[:, :margin] == (9, 80, 200)).all()
    inside = border[margin:-margin, margin:-margin]
    enlarged = image.resize(larger, Image.Resampling.BICUBIC) if larger != size else image
    np.testing.assert_array_equal(inside, np.asarray(enlarged))


def blocks(*heights: int, gap: int = 6, width: int = 8) -> NDArray[np.float32]:
    """Return ink in blocks side by side, 20 pixels high at most, with gaps between them."""
    digit = np.zeros((20, (width + gap) * len(heights)), np.float32)
    for place, height in enumerate(heights):
        digit[20 - height :, place * (width + gap) :][:, :width] = 1
    return digit[:, : digit.shape[1] - gap]


@pytest.mark.parametrize(
    ("digit", "count"),
    [
        (blocks(17, 10, 17), 2),
        (0.35 * blocks(20, 20, gap=10), None),
        (blocks(20, 20), None),  # 22 wide
        (blocks(20, 20, gap=9), None),  # as wide as one may be
        (blocks(20, 20, gap=10), 2),
        (blocks(20, 12, 20), 3),
        (blocks(20, 11, 20), 2),
        (blocks(20, 11, 11), None),
        (blocks(20, width=60), None),
        (0.36 * blocks(20, 20, gap=10), 2),
        (0.34 * blocks(20, 20, gap=10), None),
    ],
    ids=[
        *("below the limit", "at the threshold", "narrow", "limit", "two", "three"),
        *("a speck", "a tall one", "a bar", "grey", "faint"),
    ],
)
def test_wide_ink_with_gaps_is_several_digits(
    digit: NDArray[np.float32], count: int | None
) -> None:
    """Parts that are at least 60 % as high as the highest one are digits."""
    if count is None:
        photographs._refuse_several(digit)
        return
    words = f"^{count} digits are drawn on it; give an image of each digit$"
    with pytest.raises(UserError, match=words):
        photographs._refuse_several(digit)


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((16, 9), (9, 16)), ((32, 1), (1, 16)), ((6, 64), (16, 2)), ((3, 2), (2, 3))],
)
def test_a_large_image_is_reduced(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    """To the working size on the longer side, by means of boxes."""
    assert photographs._WORKING_SIDE == 256
    monkeypatch.setattr(photographs, "_WORKING_SIDE", 16)
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    found = photographs._reduced(Image.fromarray(pixels))
    assert (found.shape, found.dtype.name) == ((*reduced, 3), "float32")
    if size == (32, 1):
        means = pixels.reshape(1, 16, 2, 3).mean(axis=2)
        assert np.abs(found - means).max() <= 0.5


def test_a_surface_has_six_terms() -> None:
    """1, x, y and their products, from -1 at the left and the top to 1."""
    found = photographs._quadratic(3, 5)
    assert (found.shape, found.dtype.name) == ((3, 5, 6), "float32")
    assert found[0, 0].tolist() == [1, -1, -1, 1, 1, 1]
    assert found[0, 4].tolist() == [1, 1, -1, 1, -1, 1]
    assert found[2, 1].tolist() == [1, -0.5, 1, 0.25, -0.5, 1]


def test_an_even_ground_is_found_under_ink() -> None:
    """A quadratic surface is fitted exactly, whatever a few pixels are."""
    y, x = np.mgrid[-1:1:60j, -1:1:100j]
    plane = np.stack([100 + 20 * x, 150 - 30 * y, 90 + 9 * x * x - 7 * x * y], axis=-1)
    pixels = plane.copy()
    pixels[20:40, 45:55] = 10
    found = photographs._ground(pixels.astype(np.float32))
    assert (found.shape, found.dtype.name) == ((60, 100, 3), "float32")
    assert np.abs(found - plane).max() < 0.5


def test_a_ground_of_few_pixels_is_found_from_all_of_them() -> None:
    """Every other pixel would be too few for six terms."""
    y, x = np.mgrid[-1:1:4j, -1:1:4j]
    bowl = np.stack([100 + 20 * x, 90 + 30 * x * y, 80 + 9 * x * x - 7 * y * y], axis=-1)
    assert np.abs(photographs._ground(bowl.astype(np.float32)) - bowl).max() < 0.01


@pytest.mark.parametrize(
    ("shape", "levels", "waves", "wanted"),
    [
        ((20, 30), 2, 0, [148.19, 150.16, 149.634, 149.845]),
        ((72, 96), 6, 2, [146.751, 154.059, 145.821, 149.72]),
        ((17, 17), 60, 2, [93.61, 151.321, 142.35, 146.471]),
    ],
    ids=["faint", "less faint", "strong"],
)
def test_the_ground_under_much_ink_is_as_recorded(
    shape: tuple[int, int], levels: int, waves: int, wanted: list[float]
) -> None:
    """With ink in the middle and at two edges, on even or wavy paper."""
    y, x = np.mgrid[0 : 1 : 1j * shape[0], 0 : 1 : 1j * shape[1]]
    page = 150 + waves * np.sin(9 * x + 5 * y)
    page[(abs(x - 0.5) < 0.3) & (abs(y - 0.45) < 0.3)] -= levels
    page[(x < 0.4) & (y < 0.15)] -= levels
    page[(x > 0.92) & (y > 0.4)] += levels / 2
    found = photographs._ground(np.stack([page] * 3, axis=-1).astype(np.float32))[..., 0]
    at = [found[0, 0], found[0, -1], found[shape[0] // 2, shape[1] // 2], found[-1, shape[1] // 2]]
    np.testing.assert_allclose(at, wanted, atol=0.005)


def test_strokes_are_what_is_large_and_inside() -> None:
    """Specks and what touches the edges are left out; a stroke has its soft edge."""
    ink = np.zeros((12, 30), np.float32)
    ink[1, 5] = 0.1  # too faint for a soft edge
    ink[8, 12] = 0.2  # the soft edge of a corner
    ink[2:8, 15:18] = 0.35  # too faint for a stroke
    ink[10, 27] = 0.2  # nor is this one
    ink[2:8, 2:12] = 1  # 60 pixels
    ink[8, 2:12] = 0.2  # its soft edge
    ink[9, 2:12] = 0.2  # no more of it
    ink[10, 14:17] = 1  # a twentieth as large
    ink[3, 20:22] = 1  # a speck
    ink[0:4, 25:30] = 1  # touches the edge
    wanted = np.zeros(ink.shape, bool)
    wanted[2:9, 2:12] = True
    wanted[8, 12] = True
    wanted[10, 14:17] = True
    np.testing.assert_array_equal(photographs._strokes(ink), wanted)
    assert photographs._strokes(ink[:, 22:]).sum() == 20  # where all touch the edge
    dot = np.zeros((5, 5), np.float32)
    dot[2, 2] = 1
    np.testing.assert_array_equal(photographs._strokes(dot), dot == 1)


@pytest.mark.parametrize("edge", [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]])
def test_a_stroke_at_any_edge_is_left_out(edge: Any) -> None:
    """A stroke of one pixel's width that lies along the edge is no part of the digit."""
    ink = np.zeros((12, 12), np.float32)
    ink[4:8, 4:8] = 1
    wanted = ink == 1
    ink[edge][3:9] = 1
    np.testing.assert_array_equal(photographs._strokes(ink), wanted)


def test_a_diagonal_stroke_is_one() -> None:
    """Its pixels touch at their corners, so that all of it is left out at the edge."""
    ink = np.zeros((12, 12), np.float32)
    ink[2:5, 8:11] = 1
    wanted = ink == 1
    np.fill_diagonal(ink[4:, :], 1)  # from the left edge to the lower one
    np.testing.assert_array_equal(photographs._strokes(ink), wanted)


def page(bar: tuple[int, int, int, int], size: tuple[int, int] = (100, 80)) -> Image.Image:
    """Return a page of a light colour with a bar of another."""
    image = Image.new("RGB", (100, 80), (200, 190, 180))
    ImageDraw.Draw(image).rectangle(bar, (40, 60, 90))
    return image.resize(size, Image.Resampling.NEAREST)


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
    ink, found = photographs._find(image)
    assert (ink.shape, found) == (shape, box)
    assert ink[len(ink) // 2].max() == 1


def test_ink_is_what_departs_from_the_ground() -> None:
    """Darker or lighter: 1 within a stroke, soft at its edge, 0 on the ground."""
    pixels = np.asarray(page((40, 30, 49, 59)), np.float32)
    ink = photographs._ink(pixels)
    assert (ink.shape, ink.dtype.name) == ((80, 100), "float32")
    at = [(45, 45), (31, 41), (30, 40), (29, 45), (28, 45), (5, 5)]
    found = [ink[place] for place in at]
    assert ink.min() == 0
    np.testing.assert_allclose(found, [1, 1, 0.978, 0.011, 0, 0], atol=0.002)
    np.testing.assert_allclose(photographs._ink(255 - pixels), ink, atol=0.002)
    colour = pixels * np.array([1, 0, 0], np.float32) + 50
    np.testing.assert_allclose(photographs._ink(colour)[45, 45], 1, atol=0.002)


def test_a_large_faint_glow_does_not_make_dark_ink_the_ground() -> None:
    """Ink is on the side of the strongest departures, not of the most."""
    pixels = np.asarray(page((45, 30, 49, 54)), np.float32).copy()
    pixels[15:70, 15:40] += 15
    ink = photographs._ink(pixels)
    assert ink[40, 47] == 1
    assert ink[40, 25] == 0


def test_wavy_paper_is_no_noise() -> None:
    """Waves are smooth, so ink that is hardly stronger is found."""
    y, x = np.mgrid[0:80, 0:100]
    pixels = np.stack([150 + 8 * np.sin((x + y) / 8)] * 3, axis=-1).astype(np.float32)
    pixels[30:60, 40:44] -= 60
    assert photographs._ink(pixels)[45, 42] > 0.9


@pytest.mark.parametrize(("level", "is_ink"), [(12, False), (13, True)])
def test_faint_ink_is_refused(level: int, *, is_ink: bool) -> None:
    """A dozen levels are none, as the ground is drawn to them a little."""
    pixels = np.full((80, 100, 3), 100, np.float32)
    pixels[30:60, 40:50, 0] += level
    if is_ink:
        assert photographs._ink(pixels).max() == 1
        return
    words = "^nothing is drawn on it, or too faintly; give a clearer image$"
    with pytest.raises(UserError, match=words):
        photographs._ink(pixels)


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (1, [0, 0.45, 1, 0.36, 0, 0, 0]),
        (2, [0, 0.32, 1, 0.56, 0, 0, 0]),
        (3, [0, 0.07, 0.98, 0.51, 0, 0, 0]),
        (4, [0, 0.07, 0.95, 0.95, 0.07, 0, 0]),
        (8, [0, 0.07, 0.93, 1, 1, 0.93, 0.07]),
    ],
)
def test_a_bar_is_fitted_with_its_width(width: int, row: list[float]) -> None:
    """At half the size a bar of 1 or 2 pixels would be thinner than MNIST's; it is widened."""
    digit = np.zeros((40, 30), np.float32)
    digit[:, 10 : 10 + width] = 1
    found = photographs._fit(digit, 20)
    assert found.shape == (20, 15)
    np.testing.assert_allclose(found[10, 3:10], row, atol=0.01)


def test_half_ink_is_no_part_of_a_strokes_width() -> None:
    """A thin stroke with a shade of half its ink is widened as without the shade."""
    digit = np.zeros((80, 60), np.float32)
    digit[:, 28:32] = 1
    shaded = digit.copy()
    shaded[:, 32:40] = 0.5
    np.testing.assert_array_equal(photographs._fit(shaded, 20), photographs._fit(digit, 20))


def test_a_digit_is_scaled_to_its_longer_side() -> None:
    """Both sides by the same, none to nothing; what the filter overshoots is cut."""
    digit = np.zeros((10, 20), np.float32)
    digit[:, 10:] = 1
    found = photographs._scaled(digit, 40)
    assert (found.shape, found.dtype.name) == ((20, 40), "float32")
    assert (found.min(), found.max()) == (0, 1)
    assert photographs._scaled(np.ones((1, 40), np.float32), 4).shape == (1, 4)
    assert photographs._scaled(np.ones((4, 3), np.float32), 4).shape == (4, 3)


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 3), (0, 1)), ((0, 2), (0, 1)), ((4, 6), (0, 1)), ((1, 5), (0, 2))]
)
def test_the_centre_of_mass_is_in_the_middle(
    rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    """As far as the digit has room on both sides."""
    digit = np.zeros((6, 2), np.float32)
    digit[slice(*rows), slice(*columns)] = 0.5
    found = photographs._place(digit, 8)
    assert (found.shape, found.dtype.name) == ((8, 8), "uint8")
    at = np.argwhere(found)
    assert set(found.ravel().tolist()) == {0, 128}
    first, size = at.min(axis=0), at.max(axis=0) - at.min(axis=0) + 1
    middle = [sum(ends) / 2 - 0.5 for ends in (rows, columns)]
    before = [
        int(np.clip(round(4 - centre), 0, 8 - length))
        for centre, length in zip(middle, digit.shape, strict=True)
    ]
    assert (first - before).tolist() == [rows[0], columns[0]]
    assert size.tolist() == [rows[1] - rows[0], columns[1] - columns[0]]


def test_avif_is_read() -> None:
    """An AVIF is read; where Pillow lacks it, the error names the format."""
    file = io.BytesIO()
    if not features.check("avif"):
        with pytest.raises(UserError, match="is in the format AVIF"):
            read(io.BytesIO(boxed(b"avif", b"mif1")))
        return
    seven().convert("RGB").save(file, "AVIF", quality=95)
    file.seek(0)
    assert gap(prepare(read(file)), prepare(seven())) <= 40
    with pytest.raises(UserError, match="is in the format AVIF"):
        read(io.BytesIO(boxed(b"avif", b"mif1")), formats=FORMATS)


def test_a_bomb_is_refused_where_warnings_are_errors(
    recwarn: pytest.WarningsRecorder, tmp_path: Path
) -> None:
    """A bomb gets our error, even if warnings such as Pillow's are errors."""
    import warnings

    warnings.simplefilter("error")
    with pytest.raises(UserError, match="more than 50 megapixels"):
        read(io.BytesIO(png_claiming(10_000, 9_500)))
    assert MOST_PIXELS < 10_000 * 9_500


def test_a_file_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more bytes are read than an image may have."""
    monkeypatch.setattr("lenet_multi.lenet.photographs.MOST_BYTES", 2**20)
    file = io.BytesIO(bytes(3 * 2**20))
    with pytest.raises(UserError, match="the image is larger than 1 MiB"):
        read(file)
    assert file.tell() == 2**20 + 1
    monkeypatch.setattr("lenet_multi.lenet.photographs.MOST_BYTES", len(PNG))
    assert read(io.BytesIO(PNG)).size == (120, 150)


def test_of_a_file_one_byte_more_than_it_has_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or one more than an image may have: of a longer file, and of a pipe, which has no length."""
    asked = []

    class Watched(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size)
            return super().read(size) or b""

    monkeypatch.setattr(photographs, "MOST_BYTES", len(PNG) + 20)
    monkeypatch.setattr(Path, "open", lambda path, mode: Watched(path, mode))
    for content in (PNG, PNG + bytes(999), b""):
        path = tmp_path / "x.png"
        path.write_bytes(content)
        if len(content) == len(PNG):
            assert read(path).size == (120, 150)
        else:
            with pytest.raises(UserError, match=r"x\.png is (empty|larger than 0 MiB); give a"):
                read(path)
    assert asked == [len(PNG) + 1, len(PNG) + 21, len(PNG) + 21]


@pytest.mark.parametrize(
    ("source", "reason"),
    [("nowhere.png", "No such file"), (".", "Is a directory")],
    ids=["missing", "folder"],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, source: str, reason: str) -> None:
    """The error gives the system's reason."""
    with pytest.raises(UserError) as caught:
        read(tmp_path / source)
    assert str(caught.value).startswith(f"cannot read {tmp_path / source}: {reason}")


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


def tight(digit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a digit (28, 28) cut out along its ink."""
    rows, columns = np.nonzero(digit > 40)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def enlarged(digit: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Return a smoothly enlarged image."""
    height, width = (max(1, round(length * factor)) for length in digit.shape)
    return np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC))


def shared(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the share of ink that two images have in common."""
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_tight_crop_is_read(small: Dataset, *, dark: bool) -> None:
    """A digit whose ink touches the edges is read as with a margin."""
    likeness = []
    for digit in small.test.x[:60, ..., 0]:
        crop = tight(digit)
        found = prepare(Image.fromarray(255 - crop if dark else crop))
        likeness.append(shared(found, prepare(Image.fromarray(digit))))
    assert np.median(likeness) > 0.8


@pytest.mark.parametrize("side", [8, 12, 16])
def test_a_tiny_digit_is_read(small: Dataset, side: int) -> None:
    """A digit of a few pixels looks like the larger one once it is read."""
    likeness = []
    for digit in small.test.x[:60, ..., 0]:
        tiny = Image.fromarray(digit).resize((side, side), Image.Resampling.BOX)
        likeness.append(shared(prepare(tiny), prepare(Image.fromarray(digit))))
    assert np.median(likeness) > 0.5


@pytest.mark.parametrize("count", [2, 3, 4, 6])
@pytest.mark.parametrize("factor", [1, 5])
def test_several_digits_in_a_row_are_refused(small: Dataset, count: int, factor: int) -> None:
    """A strip of digits is not read as one; the error says what to do."""
    for begin in range(0, 60, count):
        digits = [tight(digit) for digit in small.test.x[begin : begin + count, ..., 0]]
        strip = np.hstack([np.pad(one, ((4, 28 - len(one)), (4, 4))) for one in digits])
        with pytest.raises(UserError, match="digits are drawn on it; give an image of each digit"):
            prepare(Image.fromarray(enlarged(strip, factor)))


@pytest.mark.parametrize(
    ("found", "side", "wanted"),
    [
        ([(14, 0.9)] * 10, 28, True),
        ([(13, 0.9)] * 10, 28, False),
        ([(25, 0.9)] * 10, 28, True),
        ([(26, 0.9)] * 10, 28, False),
        ([(20, 0.45)] * 10, 28, True),
        ([(20, 0.44)] * 10, 28, False),
        ([(20, 0.9)] * 9 + [(20, 0.1)], 28, True),
        ([(20, 0.9)] * 8 + [(20, 0.1)] * 2, 28, False),
        ([(20, 0.9)] * 8 + [(18, 0.9), (22, 0.9)], 28, True),
        ([(20, 0.9)] * 8 + [(17, 0.9), (23, 0.9)], 28, False),
        ([(20, 0.9)] * 8 + [(17, 0.9), (23, 0.9)], 30, True),
        ([(18, 0.9)] * 10, 20, True),
        ([(12, 0.9)] * 10, 16, True),
        ([(12, 0.9)] * 10, 15, False),
    ],
    ids=[
        *("smallest", "too small", "largest", "too large", "alike", "unlike", "one other"),
        *("two others", "two near", "two far", "two at the limit", "largest of all"),
        *("least side", "smaller side"),
    ],
)
def test_most_images_must_be_alike(
    monkeypatch: pytest.MonkeyPatch, found: list[tuple[float, float]], side: int, wanted: bool
) -> None:
    """Nine of ten: in size to a tenth of the side, and in where their ink is."""
    left = iter(found)
    monkeypatch.setattr(photographs, "_likeness", lambda image: next(left))
    images = np.zeros((len(found), side, side, 1), np.uint8)
    assert are_prepared(images) is wanted
    assert not are_prepared(images[:, 1:])


@pytest.mark.parametrize(("images", "seen"), [(100, 100), (101, 51), (250, 84)])
def test_a_hundred_images_at_most_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, images: int, seen: int
) -> None:
    """They are spread over all."""
    shades: list[int] = []

    def likeness(image: NDArray[np.uint8]) -> tuple[float, float]:
        assert image.shape == (16, 16)
        shades.append(int(image[0, 0]))
        return 12.0, 1.0

    monkeypatch.setattr(photographs, "_likeness", likeness)
    numbered = np.arange(images, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
    assert are_prepared(np.broadcast_to(numbered, (images, 16, 16, 3)))
    assert len(shades) == seen
    assert shades[:2] == [0, -(-images // 100)]
    coloured = np.zeros((images, 16, 16, 3), np.uint8)
    coloured[0, 0, 0, 2] = 1
    assert not are_prepared(coloured)


def test_an_image_is_like_what_would_be_made_of_it() -> None:
    """Its size is that of the ink; without ink, or with ink from edge to edge, there is none."""
    size, share = photographs._likeness(prepare(seven()))
    assert size == 20
    assert 0.9 < share <= 1
    assert photographs._likeness(np.zeros((28, 28), np.uint8)) == (0, 0)
    across = np.zeros((28, 28), np.uint8)
    across[:, 12:16] = 255
    assert photographs._likeness(across) == (0, 0)
    moved = np.roll(prepare(seven()), 4, axis=1)
    assert photographs._likeness(moved)[1] == pytest.approx(0.343, abs=0.001)
    assert photographs._likeness(prepare(seven()) // 4) == (0, 0)  # too faint to have a size


def test_mnists_own_images_are_prepared(small: Dataset) -> None:
    """MNIST's images are like MNIST's, also with a wider or narrower margin, or equal channels."""
    images = small.train.x
    assert are_prepared(images)
    assert are_prepared(np.repeat(images, 3, axis=-1))
    assert are_prepared(np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))))
    assert are_prepared(images[:, 2:-2, 2:-2])  # EMNIST's margin is as narrow
    assert are_prepared(images.transpose(0, 2, 1, 3))


def clothes(count: int) -> NDArray[np.uint8]:
    """Return light filled shapes on black that fill the image, as clothes do in Fashion-MNIST."""
    generator = np.random.default_rng(0)
    images = np.zeros((count, 28, 28, 1), np.uint8)
    for image in images:
        left, right = generator.integers(0, 8), generator.integers(20, 28)
        image[:, left:right] = generator.integers(60, 255, (28, right - left, 1))
    return images


@pytest.mark.parametrize(
    "change",
    [
        lambda images: 255 - images,
        lambda images: images // 2 + 100,
        lambda images: np.roll(images, 6, axis=2),
        lambda images: np.maximum(images, np.random.default_rng(0).integers(0, 80, images.shape)),
        lambda images: images[:, 4:-4, 4:-4],
        lambda images: np.concatenate([images, images[..., ::-1], images * 0], axis=-1),
        lambda images: images[:, :24],
        lambda images: images[:, ::2, ::2],
        lambda images: np.pad(images, ((0, 0), (14, 14), (14, 14), (0, 0))),
        lambda images: clothes(len(images)),
        lambda images: images * 0,
    ],
    ids=[
        *("dark on light", "grey ground", "shifted", "noise", "fills the image", "colour"),
        *("not square", "tiny", "small in the image", "clothes", "nothing"),
    ],
)
def test_other_images_are_not_prepared(
    small: Dataset, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    """Images that `prepare` would change are not like MNIST's."""
    assert not are_prepared(change(small.train.x).astype(np.uint8))


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
