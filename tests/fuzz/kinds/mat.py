"""MATLAB's files of every version: of SciPy's making, and built by hand with lies in them."""

import io
import struct
import zlib
from functools import cache
from random import Random
from typing import Any

import numpy as np
from scipy.io import savemat

from tests.fuzz.inputs import Input
from tests.fuzz.kinds import h5
from tests.fuzz.kinds.idx import few
from tests.fuzz.kinds.npz import other
from tests.fuzz.mutations import LENGTHS, damaged, zeros
from tests.fuzz.placed import kind, placed

_HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
_INT8, _INT32, _UINT32, _UINT8, _MATRIX, _PACKED, _UTF8 = 1, 5, 6, 2, 14, 15, 16
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _BYTES, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 9, 16, 17
_BOMB = 300  # MiB


def _element(number: int, body: bytes, *, size: int | None = None) -> bytes:
    """Return an element with a header that announces `size`."""
    announced = len(body) if size is None else size
    return struct.pack("<II", number, announced) + body + bytes(-len(body) % 8)


def _matrix(of_class: int, dims: tuple[int, ...], *rest: bytes, name: bytes = b"X") -> bytes:
    """Return a variable of this class with these dimensions; `rest` follows its header."""
    parts = (
        _element(_UINT32, struct.pack("<II", of_class, 0)),
        _element(_INT32, struct.pack(f"<{len(dims)}I", *(min(d, 2**32 - 1) for d in dims))),
        _element(_INT8, name),
        *rest,
    )
    return _element(_MATRIX, b"".join(parts))


def _built(chance: Random) -> bytes:
    """Return a variable that hardly any program would write."""
    lengths = (*LENGTHS, 2**20, 2**24)
    dims = tuple(chance.choice(lengths) for _ in range(chance.choice((0, 1, 2, 2, 3, 40))))
    data = _element(_UINT8, bytes(chance.choice((0, 1, 100))))
    fields = _element(_INT32, struct.pack("<I", chance.choice((8, 8, 0, 2**31))))
    names = _element(_INT8, b"images\0\0labels\0\0"[: chance.choice((16, 8, 3))])
    inner = chance.choice(
        (
            _matrix(_CHAR, dims, _element(_UTF8, b"")),
            _matrix(_CELL, dims, data),
            _matrix(_BYTES, dims, data),
            _matrix(_SPARSE, dims, _element(_INT32, bytes(8)), _element(_INT32, bytes(8)), data),
            _matrix(_STRUCT, dims, fields, names, data),
            _matrix(_OBJECT, (1, 1), _element(_INT8, b"x"), fields, names),
            _matrix(_FUNCTION, (1, 1), data),
            _matrix(_OPAQUE, (), _element(_INT8, b"MCOS"), _element(_INT8, b"string"), data),
            _matrix(chance.randrange(256), dims, data),
        )
    )
    way = chance.random()
    if way < 0.4:  # in a structure, whose size alone whosmat tells
        return _matrix(_STRUCT, (1, 1), fields, names, inner, inner)
    if way < 0.5:
        for _ in range(chance.choice((10, 1000, 20_000))):
            inner = _matrix(_CELL, (1, 1), inner)
    if way < 0.6:
        return _element(_MATRIX, inner, size=chance.choice(LENGTHS))
    return inner


def _zipped(variable: bytes, chance: Random) -> bytes:
    way = chance.random()
    content = zlib.compress(variable)
    if way < 0.1:
        content = zeros(_BOMB)
    elif way < 0.2:  # a name of zeros
        start = struct.pack("<II", _MATRIX, 2**31 - 1) + _matrix(_BYTES, (1, 1))[8:-8]
        content = _with_zeros(start + struct.pack("<II", _INT8, _BOMB * 2**20))
    elif way < 0.4:
        content = damaged(content, chance)
    return struct.pack("<II", _PACKED, len(content)) + content


@cache
def _with_zeros(start: bytes) -> bytes:
    """Return a zlib stream of `start` and many zeros."""
    pump = zlib.compressobj(9)
    head = pump.compress(start)
    return head + b"".join(pump.compress(bytes(2**20)) for _ in range(_BOMB)) + pump.flush()


def _saved(content: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, content, **options)
    made = buffer.getvalue()
    return _HEADER[:116] + made[116:] if made.startswith(b"MATLAB") else made  # without the date


def mat(chance: Random) -> bytes:
    """Return a file, mostly an odd one."""
    count = chance.choice((2, 5))
    images, labels = few()[0][:count], few()[1][:count, np.newaxis]
    harm = chance.random()
    if harm < 0.1:
        return _HEADER + b"".join(_built(chance) for _ in range(chance.choice((1, 2))))
    if harm < 0.3:
        return _HEADER + _zipped(_built(chance), chance)
    if harm < 0.4:
        content = h5.h5(chance)
        return bytes(512) + content if chance.random() < 0.5 else content
    side: dict[str, Any] = {"images": images, "labels": labels}
    wrong = chance.choice(("images", "labels"))
    if harm < 0.55:
        side[wrong] = other(side[wrong], chance)
    elif harm < 0.6:
        side[wrong] = chance.choice(("text", [["cell"], 1], {"a": {"b": images}}, 1j, True, None))
    elif harm < 0.65:
        side[chance.choice(("X", "y", "train_images", "a" * 31, "data"))] = labels
    whole: dict[str, Any] = chance.choice(
        (
            {"X": side["images"], "y": side["labels"]},
            side,
            {"dataset": {"train": side, "test": side}},
        )
    )
    options = chance.choice(({}, {"do_compression": True}, {"format": "4"}, {"oned_as": "column"}))
    try:
        packed = _saved(whole, **options)
    except (TypeError, ValueError, AttributeError):  # what version 4, or MATLAB, has no type for
        packed = _saved({"X": images.reshape(count, -1), "y": labels}, **options)
    if options == {"do_compression": True} and chance.random() < 0.5:
        return _repacked(packed, chance)
    return damaged(packed, chance) if chance.random() < 0.5 else packed


def _repacked(content: bytes, chance: Random) -> bytes:
    """Return a file with damage inside its first packed variable, below its checksum."""
    (size,) = struct.unpack_from("<I", content, 132)
    inner = zlib.compress(damaged(zlib.decompress(content[136 : 136 + size]), chance))
    return content[:132] + struct.pack("<I", len(inner)) + inner + content[136 + size :]


def _make(chance: Random) -> Input:
    return placed(".mat", mat, chance)


KIND = kind("mat", _make, share=3, mebibytes=256)
