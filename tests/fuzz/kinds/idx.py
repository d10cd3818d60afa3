"""Folders of IDX files, plain and gzipped."""

import gzip
import struct
import zlib
from functools import cache
from random import Random

import numpy as np

from lenet_multi.lenet import image_sets
from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.mutations import LENGTHS, damaged, zeros

FOLDER = "fuzzed-data"
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_BOMB = 300  # MiB


def idx(array: np.ndarray, *, shape: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    """Return `array` as IDX, with a header that announces `shape`."""
    shape = shape or array.shape
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + array.tobytes()


@cache
def few() -> list[np.ndarray]:
    """Return the first images and labels of MNIST, for training and for tests."""
    mnist = image_sets.load()
    return [
        array for part in (mnist.train[:20], mnist.test[:20]) for array in (part.x[..., 0], part.y)
    ]


def _make(chance: Random) -> Input:
    arrays = _arrays(chance)
    contents = [idx(array) for array in arrays]
    wrong = chance.randrange(4)
    harm = chance.random()
    if harm < 0.3:
        contents[wrong] = damaged(contents[wrong], chance)
    elif harm < 0.6:
        contents[wrong] = headed(arrays[wrong], chance)
    elif harm < 0.65:
        other = chance.randrange(4)
        contents[wrong], contents[other] = contents[other], contents[wrong]
    files: dict[str, bytes | None] = {}
    for name, content in zip(NAMES, contents, strict=True):
        packed = chance.random() < 0.5
        files[f"{FOLDER}/{name}" + packed * ".gz"] = gzipped(content, chance) if packed else content
    if chance.random() < 0.05:
        name = chance.choice([*files])
        del files[name]
        if chance.random() < 0.5:
            files[name] = None  # a folder of that name
    return Input(
        arguments=("train", "--data", FOLDER, "--out", "out", "--quiet"),
        files=files,
        culprit=FOLDER,
    )


def _arrays(chance: Random) -> list[np.ndarray]:
    count = chance.choice((1, 2, 20))
    arrays = [array[:count] for array in few()]
    if chance.random() < 0.1:
        arrays[chance.choice((1, 3))] = np.full(count, chance.randrange(256), np.uint8)
    if chance.random() < 0.1:
        arrays[chance.choice((0, 2))] = np.zeros((count, chance.choice((1, 28)), 3), np.uint8)
    return arrays


def headed(array: np.ndarray, chance: Random) -> bytes:
    """Return the array with a header that lies."""
    shape = [*array.shape]
    for _ in range(chance.choice((1, 1, 3))):
        shape[chance.randrange(len(shape))] = chance.choice(LENGTHS)
    if chance.random() < 0.1:
        shape = shape * chance.choice((2, 100)) if chance.random() < 0.5 else shape[:-1]
    if len(shape) > 255:
        shape = shape[:255]
    kind = chance.choice((8, 8, 8, 8, 9, 0x0D, 0, 255))
    return idx(array, shape=tuple(shape), kind=kind)


def gzipped(content: bytes, chance: Random) -> bytes:
    """Return `content` gzipped, sometimes badly."""
    harm = chance.random()
    if harm < 0.02:
        return content  # not gzipped at all
    if harm < 0.05:  # a bomb after a header
        return _gzip_of(content, chance)
    packed = gzip.compress(content, chance.randrange(10), mtime=0)
    if harm < 0.07:
        return packed + gzip.compress(chance.choice((b"", b"x", bytes(10**6))), mtime=0)
    if harm < 0.09:
        return packed + chance.choice((b"\0" * 10, b"x", b"\x1f\x8b"))
    return damaged(packed, chance) if harm < 0.2 else packed


def _gzip_of(content: bytes, chance: Random) -> bytes:
    """Return two gzip members: the content, and far more zeros than it announces."""
    if chance.random() < 0.3:  # or a header that announces the zeros
        content = content[:4] + struct.pack(">3I", _BOMB, 1024, 1024)
    bomb = zeros(_BOMB)[2:-4]  # raw deflate
    header = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    crc = zlib.crc32(bytes(2**20))
    return gzip.compress(content, mtime=0) + header + bomb + struct.pack("<II", crc, _BOMB * 2**20)


KIND = Kind(
    name="IDX",
    make=_make,
    share=15,
    mebibytes=128,
    prepare=stand_ins.install,
    told=r"What was kept so far: .*",
)
