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
from lenet_multi.lenet.photographs import MOST_PIXELS, are_prepared, prepare, read

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
        (b"", "x.png is empty"),
        (b"just text", "x.png is no image; give one of BMP, GIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "x.png is in the format PostScript"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x.png is in the format SVG"),
        (PNG[: len(PNG) // 2], "x.png is a damaged or truncated image"),
        (JPEG[: len(JPEG) // 2], "x.png is a damaged or truncated image"),
        (PNG.replace(b"IHDR", b"IHDX"), "x.png is no image"),
        (png_claiming(10_000, 5_001), "x.png has more than 50 megapixels"),
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
        *("HEIC", "HEIF", "HEVC", "PDF", "JPEG XL", "JPEG 2000", "PSD"),
        *("PostScript", "XCF", "ICO", "SVG", "SVG in XML"),
    ],
)
def test_a_picture_of_another_format_is_named(content: bytes, name: str) -> None:
    """The error names the format of a picture that is not read, and a format to save it in."""
    with pytest.raises(UserError, match=f"^the image is in the format {name}.*; save it as JPEG"):
        read(io.BytesIO(content))


@pytest.mark.parametrize("brand", [b"isom", b"qt  ", b"mp42"])
def test_a_film_is_no_image(brand: bytes) -> None:
    """A film, whose file begins like a HEIC, is no image."""
    with pytest.raises(UserError, match="the image is no image"):
        read(io.BytesIO(boxed(brand)))


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


@pytest.mark.parametrize(
    ("source", "reason"),
    [("nowhere.png", "No such file"), (".", "Is a directory")],
    ids=["missing", "folder"],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, source: str, reason: str) -> None:
    """The error gives the system's reason."""
    with pytest.raises(UserError, match=f"cannot read .*: {reason}"):
        read(tmp_path / source)


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
    with pytest.raises(UserError, match="it has no pixels"):
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
