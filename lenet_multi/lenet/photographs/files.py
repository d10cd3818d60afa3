"""Read an image file of any format as opaque RGB, upright; refuse what is none."""

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from lenet_multi.data.pictures import FORMATS
from lenet_multi.errors import UserError, cannot_read, reason

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

DRAFT = (512, 512)  # pixels: twice the side at which a digit is looked for

# Pillow warns of odd files, and of bombs only above a higher limit; `read` refuses bad files.
warnings.filterwarnings("ignore", module="PIL")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def read(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    formats: tuple[str, ...] = (*FORMATS, *_ALSO),
    most_pixels: int = MOST_PIXELS,
    draft: tuple[int, int] = DRAFT,
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
        return plain(ImageOps.exif_transpose(image))
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


def plain(image: Image.Image) -> Image.Image:
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
