"""Turn a photograph or a drawing of a digit into an image like MNIST's.

First fit the ground under the digit, mostly from the border, as a smooth surface of colour with
uneven light. Ink is any departure from it: darker, lighter or another colour. Then follow MNIST's
recipe: crop the ink, scale it into 20x20 pixels, and put its centre of mass at the centre of 28x28.
"""

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features
from scipy import ndimage

from lenet_multi.data.pictures import FORMATS
from lenet_multi.errors import UserError, by, cannot_read, reason

SIDE = 28  # of MNIST's images
_BOX = 20 / 28  # of the side: the box that the ink fills

_ALSO = ("AVIF",) if features.check("avif") else ()  # Pillow may be built without it
# How files of formats that are not read begin.
_FOREIGN = {
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"%PDF": "PDF",
    b"8BPS": "PSD",
    b"%!PS": "PostScript",
    b"gimp xcf": "XCF",
    b"\x00\x00\x01\x00": "ICO",
}
MOST_PIXELS = 50_000_000  # the largest phone cameras; larger is a decompression bomb
MOST_BYTES = 256 * 2**20  # more than such an image takes without compression

_WORKING_SIDE = 256  # pixels: a digit a tenth as large still has MNIST's 20 pixels
_MARGIN = 0.4  # of the strokes' longer side: the margin of the crop for the second search
_BLUR = 300  # the side over the standard deviation of the blur against noise
_BORDER = 1 / 8  # of the side: the border, expected to be ground
_INSIDE_WEIGHT = 0.2  # weight of pixels inside the border in the fit of the ground
_ROUNDS = 10  # of the robust fit
_LEAST_CONTRAST = 12  # of 255 levels: between ink and ground
_LEAST_SIGNAL = 5  # standard deviations of the ground's noise: the least level of ink
_THRESHOLD = 0.35  # of the ink's level: brighter pixels belong to strokes
_SPECK = 0.05  # of the largest stroke's area: smaller strokes are dirt
_FAINTEST = 0.1  # of the ink's level: the soft edge of a stroke
_FINE = 4  # scale at which the strokes of small images are measured
_THINNEST = 1.5  # pixels of a 28x28 image: MNIST's thinnest strokes
_USUAL = 2.6  # pixels: the median of MNIST's strokes

_TWO_LEVELS = 0.8  # of the variance; of even light it is 0.75, of noise 0.64
_WIDE, _TALL = 1.25, 0.6  # of the height: ink that is wider, and its parts, are several digits
_SMOOTH = Image.Resampling.BICUBIC
_LEAST_SIDE = 16  # pixels: on smaller images, strokes have no width
_COMPARED = 100  # images, to decide whether all are like MNIST's
_LIKE, _MOST_OF_THEM = 0.45, 0.9  # of the blurred ink is where `prepare` puts it, on most images
_SMALLEST, _LARGEST, _SIZES_APART = 0.5, 0.9, 0.1  # of the side: their ink's size, and its range

# Pillow warns of odd files, and of bombs only above a higher limit; `read` refuses bad files.
warnings.filterwarnings("ignore", module="PIL")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

Array = NDArray[np.float32]


def read(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    formats: tuple[str, ...] = (*FORMATS, *_ALSO),
    most_pixels: int = MOST_PIXELS,
    draft: tuple[int, int] = (2 * _WORKING_SIDE, 2 * _WORKING_SIDE),
) -> Image.Image:
    """Return the first frame of an image file as RGB, upright, on a plain ground if transparent.

    A large JPEG is decoded at a smaller size, no smaller than `draft`. Errors call the file `name`.
    Raises `UserError` when it is unreadable, not an image or damaged, or, undecoded, has more than
    `most_pixels` pixels.
    """
    name = name or (str(source) if isinstance(source, Path) else "the image")
    content = _read_bytes(source, name)
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
        if image.width * image.height > most_pixels:
            raise Image.DecompressionBombError
        image.draft(None, draft)
        image.load()
        return _plain(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(
            f"{name} has more than {most_pixels / 10**6:.0f} megapixels; give a smaller image"
        ) from error
    except UnidentifiedImageError as error:
        if kind := _foreign_format(content):
            raise UserError(
                f"{name} is in the format {kind}, which is not read; save it as JPEG or PNG"
            ) from error
        raise UserError(f"{name} is no image; give one of {', '.join(formats)}") from error
    except Exception as error:  # Pillow raises errors of any class on a file it cannot decode
        why = reason(error)
        raise UserError(f"{name} is a damaged or truncated image: {why}; give another") from error


def read_input(source: Path | BinaryIO, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the digit in an image file as uint8 of `shape`, square; raise `UserError`."""
    height, _, channels = shape
    image = read(source, name=name)
    try:
        digit = prepare(image, height)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return np.repeat(digit[..., np.newaxis], channels, axis=-1)


def _read_bytes(source: Path | BinaryIO, name: str) -> bytes:
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                size = os.fstat(file.fileno()).st_size or MOST_BYTES  # a pipe has none
                content = file.read(min(size, MOST_BYTES) + 1)
        else:
            content = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(cannot_read(name, error)) from error
    if not content:
        raise UserError(f"{name} is empty; give an image")
    if len(content) > MOST_BYTES:
        raise UserError(f"{name} is larger than {MOST_BYTES // 2**20} MiB; give a smaller image")
    return content


def _foreign_format(content: bytes) -> str | None:
    """Return the name of a format of pictures that is known but not read."""
    if content[4:8] == b"ftyp":
        brands = content[8 : max(16, min(int.from_bytes(content[:4]), 256))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if any(brand in brands for brand in (b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1")):
            return "HEIC, as telephones do (iPhone: Settings, Camera, Formats, Most Compatible)"
    if b"<svg" in content[:1024]:
        return "SVG"
    return next((name for start, name in _FOREIGN.items() if content.startswith(start)), None)


def _plain(image: Image.Image) -> Image.Image:
    """Return an image of any mode as opaque RGB."""
    if image.mode.startswith(("I", "F")):  # 16 bits and more: Pillow would clip them
        image = _stretched(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, _ground_colour(np.asarray(image)))
    return Image.alpha_composite(ground, image).convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    levels = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    levels -= levels.min()
    return Image.fromarray((levels * (255 / max(levels.max(), 1e-300))).astype(np.uint8))


def _ground_colour(pixels: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the colour to lay under transparent `pixels` (H, W, 4).

    If less than half is opaque, that is ink: contrast it with black or white. Otherwise it is
    mostly ground: continue its colour.
    """
    opaque = pixels[..., 3] > 127
    if not opaque.any():
        return 255, 255, 255, 255
    colour = np.median(pixels[opaque][:, :3], axis=0)
    if opaque.mean() < 0.5:
        colour = np.full(3, 255 if colour.mean() < 128 else 0)
    return (*map(int, colour), 255)


def prepare(image: Image.Image, side: int = SIDE) -> NDArray[np.uint8]:
    """Return the digit on `image` in MNIST's style: (side, side) uint8, ink 255 on 0.

    Any size and mode will do, and ink darker or lighter than the ground. Raises `UserError` when
    nothing is drawn on it.
    """
    if not all(image.size):
        raise UserError("it has no pixels; give another image")
    image = _plain(image)
    try:
        digit = _digit(image)
    except UserError as error:
        digit = _digit_without_margin(image, error)
    _refuse_several(digit)
    return _place(_fit(digit, round(side * _BOX)), side)


def _digit(image: Image.Image) -> Array:
    """Return the ink of the strokes (H, W), without the ground around them."""
    digit, box = _find(image)
    if 2 * max(box[2] - box[0], box[3] - box[1]) < max(image.size):
        digit, _ = _find(image.crop(box))  # a closer crop is finer and more evenly lit
    return digit


def _digit_without_margin(image: Image.Image, error: UserError) -> Array:
    """Return the ink in an image that is tiny or inked up to its edges; else raise `error`."""
    image = Image.fromarray(np.rint(_reduced(image)).astype(np.uint8))
    is_tiny = max(image.size) < _LEAST_SIDE and np.ptp(np.asarray(image)) >= _LEAST_CONTRAST
    if not is_tiny and not _has_two_levels(image):
        raise error
    try:
        return _digit(_with_margin(image))
    except UserError:
        raise UserError(
            f"no digit stands out in its {by(image.size)} pixels; give a larger image, with a "
            "margin around the digit"
        ) from error


def _has_two_levels(image: Image.Image) -> bool:
    """Return whether pixels are either ground or ink; light and noise alone have levels between.

    Otsu's criterion: the share of the variance that the best threshold explains.
    """
    levels = np.sort(np.asarray(image.convert("L"), np.float64).ravel())
    if levels[-1] - levels[0] < _LEAST_CONTRAST:
        return False
    below = np.arange(1, len(levels))
    above = len(levels) - below
    sums = np.cumsum(levels)[:-1]
    apart = sums / below - (levels.sum() - sums) / above
    return bool((below * above * apart**2).max() / len(levels) ** 2 >= _TWO_LEVELS * levels.var())


def _with_margin(image: Image.Image) -> Image.Image:
    """Return the image, enlarged if it is tiny, with a margin of its median colour, the ground."""
    ground = np.median(np.asarray(image).reshape(-1, 3), axis=0)
    larger = -(-_WORKING_SIDE // (4 * max(image.size)))
    if larger > 1:
        image = image.resize((image.width * larger, image.height * larger), _SMOOTH)
    margin = max(image.size) // 2
    return ImageOps.expand(image, margin, fill=tuple(map(int, ground)))


def _refuse_several(digit: Array) -> None:
    """Raise `UserError` when wide ink has gaps between parts that are about as tall: digits."""
    inked = digit > _THRESHOLD
    parts, count = ndimage.label(inked.any(axis=0))
    heights = [np.ptp(np.nonzero(inked[:, parts == part])[0]) + 1 for part in range(1, count + 1)]
    tall = sum(height >= _TALL * max(heights) for height in heights)
    if tall > 1 and digit.shape[1] > _WIDE * digit.shape[0]:
        raise UserError(f"{tall} digits are drawn on it; give an image of each digit")


def are_prepared(images: NDArray[np.uint8]) -> bool:
    """Return whether images (N, height, width, channels) are like MNIST's.

    They are if the ink is light on black, `prepare` would put it at the same place, and all digits
    have one size, which may be another than MNIST's, as in EMNIST.
    """
    some = images[:: -(-len(images) // _COMPARED)]
    _, side, width, _ = images.shape
    if side != width or side < _LEAST_SIDE or (some != some[..., :1]).any():
        return False
    sizes, likenesses = np.transpose([_likeness(image[..., 0]) for image in some])
    usual = float(np.median(sizes))
    alike = (np.abs(sizes - usual) <= _SIZES_APART * side) & (likenesses >= _LIKE)
    return _SMALLEST * side <= usual <= _LARGEST * side and bool(alike.mean() >= _MOST_OF_THEM)


def _likeness(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the size of the ink in pixels, and the share of it that is where `prepare` puts it."""
    rows, columns = np.nonzero(image > 255 * _THRESHOLD)
    try:
        digit = _digit(_plain(Image.fromarray(image)))
    except UserError:
        return 0.0, 0.0
    size = int(max(np.ptp(rows), np.ptp(columns))) + 1 if len(rows) else 0
    if not 0 < size < len(image):
        return 0.0, 0.0
    placed = _place(_fit(digit, size), len(image))
    one, other = (ndimage.gaussian_filter(each / 255, len(image) / 14) for each in (image, placed))
    return float(size), float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def _find(image: Image.Image) -> tuple[Array, tuple[int, int, int, int]]:
    """Return the strokes' ink (H, W), and the box around them: left, top, right, bottom."""
    ink = _ink(_reduced(image))
    strokes = _strokes(ink)
    rows, columns = ndimage.find_objects(strokes.astype(np.uint8))[0]
    unit = max(image.size) / max(ink.shape)
    margin = _MARGIN * max(rows.stop - rows.start, columns.stop - columns.start)
    box = (
        max(0, int((columns.start - margin) * unit)),
        max(0, int((rows.start - margin) * unit)),
        min(image.width, int((columns.stop + margin) * unit) + 1),
        min(image.height, int((rows.stop + margin) * unit) + 1),
    )
    return np.where(strokes, ink, 0)[rows, columns], box


def _reduced(image: Image.Image) -> Array:
    """Return the pixels (H, W, 3) in [0, 255], with at most `_WORKING_SIDE` on the longer side."""
    longest = max(image.size)
    if longest > _WORKING_SIDE:
        size = [max(1, round(length * _WORKING_SIDE / longest)) for length in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


def _ink(pixels: Array) -> Array:
    """Return the ink (H, W) from 0 (ground) to 1; raise `UserError` if there is none."""
    departure = pixels - _ground(pixels)  # (H, W, 3)
    blur = max(pixels.shape[:2]) / _BLUR
    departure = ndimage.gaussian_filter(departure, (blur, blur, 0))
    flat = departure.reshape(-1, 3)
    _, directions = np.linalg.eigh(flat.T @ flat)
    along = departure @ directions[:, -1]  # the colour in which the image varies most
    along *= np.sign(np.sum(along**3)) or 1  # ink is the far side
    # Roughness is noise, except at edges, so take its lower quartile; a quarter of a Gaussian lies
    # within 0.32 standard deviations. Ink and light are smooth.
    rough = np.abs(along - ndimage.gaussian_filter(along, 2))
    noise = np.quantile(rough, 0.25) / 0.32
    level = np.median(along[along >= along.max() / 2])
    if level < max(_LEAST_CONTRAST, _LEAST_SIGNAL * noise):
        raise UserError("nothing is drawn on it, or too faintly; give a clearer image")
    return np.asarray(np.clip(along / level, 0, 1), np.float32)


def _ground(pixels: Array) -> Array:
    """Return the ground (H, W, 3) under `pixels`: a quadratic surface for each colour.

    The fit weighs the border most, because it has little ink, and distant pixels less each round.
    """
    every = max(1, max(pixels.shape[:2]) // 48)  # a smooth surface needs no more pixels
    terms = _quadratic(*pixels.shape[:2])
    some, colours = terms[::every, ::every].reshape(-1, 6), pixels[::every, ::every].reshape(-1, 3)
    border = np.abs(some[:, 1:3]).max(axis=1) > 1 - 2 * _BORDER
    expected = np.where(border, 1, _INSIDE_WEIGHT)[:, np.newaxis]
    weights = expected
    for _ in range(_ROUNDS):
        weighted = weights * some
        surface, *_ = np.linalg.lstsq(weighted.T @ some, weighted.T @ colours, rcond=None)
        away = np.linalg.norm(colours - some @ surface, axis=1, keepdims=True)
        scale = max(1.0, 2 * float(np.median(away)))
        weights = expected / (1 + (away / scale) ** 2) ** 2
    return np.asarray(terms @ surface.astype(np.float32))


def _quadratic(height: int, width: int) -> Array:
    """Return 1, x, y, x², xy and y² at each pixel (H, W, 6), x and y from -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1, dtype=np.float32)


def _strokes(ink: Array) -> NDArray[np.bool_]:
    """Return the mask of the digit's pixels, without specks and strokes that touch the edges."""
    parts, count = ndimage.label(ink > _THRESHOLD, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    kept = areas >= max(1, _SPECK * areas.max())
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    inside = kept & ~np.isin(np.arange(count + 1), edges)
    kept = inside if inside.any() else kept
    # Add one pixel for the soft edge.
    return np.asarray(ndimage.binary_dilation(kept[parts], np.ones((3, 3))) & (ink > _FAINTEST))


def _fit(digit: Array, box: int) -> Array:
    """Return `digit` with its longer side scaled to `box`, and thin strokes widened."""
    fine = _scaled(digit, max(_FINE * box, *digit.shape))
    unit = max(fine.shape) / box
    inked = fine > fine.max() / 2
    # The mean distance to a band's edge is a quarter of its width.
    width = 4 * ndimage.distance_transform_edt(np.pad(inked, 1))[1:-1, 1:-1][inked].mean() / unit
    if width < _THINNEST:
        reach = (_USUAL - width) / 2 * unit
        outside = ndimage.distance_transform_edt(np.pad(~inked, int(reach), constant_values=True))
        digit = (outside <= reach).astype(np.float32)
    return _scaled(digit, box)


def _scaled(digit: Array, longer: int) -> Array:
    height, width = (max(1, round(length * longer / max(digit.shape))) for length in digit.shape)
    scaled = Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(scaled, np.float32), 0, 1)


def _place(digit: Array, side: int) -> NDArray[np.uint8]:
    """Return (side, side) uint8 with the centre of mass of `digit` at the centre."""
    margins = []
    for centre, length in zip(ndimage.center_of_mass(digit), digit.shape, strict=True):
        before = int(np.clip(round(side / 2 - centre), 0, side - length))
        margins.append((before, side - length - before))
    return np.pad(np.rint(255 * digit).astype(np.uint8), margins)
