import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from lenet_multi.data.pictures import FORMATS
from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs import files
from lenet_multi.lenet.photographs.digit import prepare
from lenet_multi.lenet.photographs.files import _ALSO, MOST_PIXELS, read
from tests.lenet.photographs.material import ROUNDING, gap, saved, seven


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
    ground = files._ground_colour(np.array([pixels], np.uint8))
    assert ground == (*colour, 255)
    assert {type(level) for level in ground} == {int}


def test_levels_are_stretched() -> None:
    """From the lowest to the highest; what is no number counts as 0."""
    levels = np.array([[np.nan, np.inf, -np.inf], [0, 1, 3]], np.float32)
    stretched = files._stretched(Image.fromarray(levels))
    assert stretched.mode == "L"
    assert np.asarray(stretched).tolist() == [[0, 0, 0], [0, 85, 255]]
    found = np.asarray(files._stretched(Image.fromarray(levels[1:] + 2)))
    assert found.tolist() == [[0, 85, 255]]
    assert not np.asarray(files._stretched(Image.new("I", (2, 2), 7))).any()
    small = np.array([[0, 0.25, 0.5]], np.float32)
    assert np.asarray(files.plain(Image.fromarray(small)))[..., 0].tolist() == [[0, 127, 255]]
    far = np.array([[-(2**31), 2**31 - 1]], np.int32)
    assert np.asarray(files._stretched(Image.fromarray(far))).tolist() == [[0, 255]]


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
    monkeypatch.setattr(files, "MOST_BYTES", 2**20)
    file = io.BytesIO(bytes(3 * 2**20))
    with pytest.raises(UserError, match="the image is larger than 1 MiB"):
        read(file)
    assert file.tell() == 2**20 + 1
    monkeypatch.setattr(files, "MOST_BYTES", len(PNG))
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

    monkeypatch.setattr(files, "MOST_BYTES", len(PNG) + 20)
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
