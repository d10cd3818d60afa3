"""Photographs and drawings, and files that only look like them."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

from PIL import Image, ImageDraw

from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds import models
from tests.fuzz.mutations import LENGTHS, damaged, zeros

_FORMATS: Sequence[tuple[str, str, dict[str, object]]] = (
    ("PNG", "L", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {"transparency": 0}),
    ("PNG", "I;16", {}),
    ("PNG", "1", {}),
    ("PNG", "RGB", {"save_all": True, "append_images": [Image.new("RGB", (9, 9))]}),
    ("JPEG", "L", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "CMYK", {"quality": 30}),
    ("JPEG", "RGB", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"}),
    ("GIF", "P", {"save_all": True, "append_images": [Image.new("P", (9, 9))]}),
    ("BMP", "RGB", {}),
    ("PPM", "L", {}),
    ("PPM", "RGB", {}),
    ("TIFF", "L", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_deflate"}),
    ("TIFF", "F", {}),
    ("TIFF", "1", {"compression": "group4"}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("ICO", "RGBA", {}),
    ("TGA", "RGB", {}),
    ("EPS", "RGB", {}),
    ("PDF", "RGB", {}),
)
_SUFFIXES = (".png", ".jpg", ".gif", ".tif", ".webp", "", ".PNG", ".npz", ".keras")
_NAMES = (
    "fuzzed",
    "$fuzzed_{\\frac$",
    "fuzzed 七",
    "fuzzed \udcff",
    "fuzzed\n",
    "fuzzed[red]",
    "fuzzed\x1b[31m",
    "fuzzed é",
    "-fuzzed",
)


@cache
def picture(number: int) -> bytes:
    """Return a seven in one of the formats."""
    kind, mode, options = _FORMATS[number]
    image = Image.new("L", (60, 80), 230)
    ImageDraw.Draw(image).line([(18, 20), (42, 20), (27, 60)], 30, width=6)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _make(chance: Random) -> Input:
    files: dict[str, bytes | None] = {"model.keras": models.valid()}
    name = f"./{chance.choice(_NAMES)}{chance.choice(_SUFFIXES)}"
    given = content(chance)
    flags = chance.choice(((), ("--json",), ("--json",), ("--show", "seen.png")))
    where, stdin = name, b""
    if chance.random() < 0.05:
        where, stdin = "-", given
    elif chance.random() < 0.1:
        where = "fuzzed-folder"
        files |= {f"{where}/{name}": given, f"{where}/b.png": content(chance)}
    else:
        files[name] = given
    return Input(
        arguments=("predict", where, "--model", "model.keras", *flags),
        files=files,
        stdin=stdin,
        culprit="standard input" if where == "-" else "fuzzed",
    )


def content(chance: Random) -> bytes:
    """Return a picture, mostly an odd one."""
    harm = chance.random()
    if harm < 0.1:
        return _png(chance)
    if harm < 0.15:
        return chance.choice(_HEADERS)(chance)
    if harm < 0.2:
        return chance.choice(
            (b"", b"<svg/>", b"%PDF-1.4", b"P5 1", b"GIF89a", b"\x89PNG\r\n\x1a\n")
        )
    made = picture(chance.randrange(len(_FORMATS)))
    if harm < 0.5 and made.startswith(b"\x89PNG"):
        return _mended(damaged(made, chance))
    return damaged(made, chance) if harm < 0.95 else made


def _mended(content: bytes) -> bytes:
    """Return a PNG with its chunks' CRCs corrected, so that a reader reads the chunks."""
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        parts += [content[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + length
    return b"".join([*parts, content[at:]])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(chance: Random) -> bytes:
    """Return a PNG with a header of any size, bombs, and chunks of any kind."""
    width, height = _size(chance)
    depth, colour = chance.choice((1, 2, 8, 8, 16, 3)), chance.choice((0, 2, 2, 3, 4, 6, 7))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, chance.choice((0, 1, 2)))
    compressed = chance.choice((b"", zlib.compress(bytes(1000)), zeros(1), zeros(100), zeros(100)))
    chunks = [
        _chunk(b"IHDR", header),
        _chunk(b"PLTE", bytes(chance.choice((3, 768, 4, 0)))),
        _chunk(b"iCCP", b"x\0\0" + zeros(100)),
        _chunk(b"zTXt", b"x\0\0" + zeros(100)),
        _chunk(b"iTXt", b"x\0\1\0\0\0" + zeros(100)),
        _chunk(b"tRNS", chance.randbytes(chance.choice((1, 6, 256)))),
        _chunk(b"eXIf", chance.randbytes(100)),
        _chunk(b"acTL", struct.pack(">II", chance.choice(LENGTHS), 0)),
        _chunk(b"IDAT", compressed),
        _chunk(b"IEND", b""),
    ]
    kept = [chunk for chunk in chunks if chunk[4:8] in {b"IHDR", b"IDAT"} or chance.random() < 0.5]
    return b"\x89PNG\r\n\x1a\n" + b"".join(kept)


def _size(chance: Random) -> tuple[int, int]:
    if chance.random() < 0.3:  # the most pixels that are read, and a few more
        return chance.choice(((7071, 7071), (50_000, 1000), (7072, 7072)))
    sides = (*LENGTHS, 5000, 7000, 10_001)
    return chance.choice(sides), chance.choice(sides)


# Headers without images, which claim any size.
_HEADERS: Sequence[Callable[[Random], bytes]] = (
    lambda chance: b"P5 %d %d 255\n" % _size(chance) + bytes(100),
    lambda chance: b"P2 %d %d 65535\n" % _size(chance) + b"1 " * 100,
    lambda chance: b"P4 %d %d\n" % _size(chance) + bytes(100),
    lambda chance: b"Pf %d %d\n-1.0\n" % _size(chance) + bytes(100),
    lambda chance: b"GIF89a" + struct.pack("<HH", *(x % 2**16 for x in _size(chance))) + bytes(50),
    lambda chance: b"BM" + bytes(12) + struct.pack("<III", 40, *_size(chance)) + bytes(100),
    lambda chance: b"RIFF\xff\xff\xff\xffWEBPVP8X" + chance.randbytes(40),
    lambda chance: b"II*\0\x08\0\0\0" + chance.randbytes(200),
)

KIND = Kind(
    name="images",
    make=_make,
    share=20,
    # 50 megapixels in three channels of one byte, copied, or in one channel of eight bytes, copied.
    mebibytes=1000,
    prepare=stand_ins.install,
    told=r"Pictures: .*|(Fed|Images): .*",
)
