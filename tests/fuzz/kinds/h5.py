"""HDF5 files: honest ones, damaged ones, and those that h5py was made to write against its will."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any

import h5py
import numpy as np

from tests.fuzz.inputs import Input
from tests.fuzz.kinds.idx import few
from tests.fuzz.kinds.npz import other
from tests.fuzz.mutations import LENGTHS, damaged, zeros
from tests.fuzz.placed import kind, placed

_NAMES = (("x", "y"), ("train/data", "train/target"), ("a/b/x_train", "a/b/y_train"))
_ODD = ("é", "x\n", "\udcff", "x" * 5000, "../x", "train images", "X", "data", "y_train.y")
_OPTIONS: Sequence[dict[str, Any]] = (
    {},
    {"chunks": True, "compression": "gzip"},
    {"chunks": True, "compression": "lzf", "shuffle": True, "fletcher32": True},
    {"chunks": True, "scaleoffset": 0},
    {"chunks": True, "maxshape": None},
)
_BOMB = 300  # MiB


def h5(chance: Random) -> bytes:
    """Return a file, mostly an odd one."""
    count = chance.choice((2, 5))
    images, labels = (array[:count] for array in few()[:2])
    x, y = chance.choice(_NAMES)
    sides, harm, buffer = {x: images, y: labels}, chance.random(), io.BytesIO()
    wrong = chance.choice((x, y))
    if harm < 0.2:
        sides[wrong] = other(sides[wrong], chance)
    options = chance.choice(_OPTIONS)
    block = chance.choice((0, 0, 512))
    with h5py.File(
        buffer, "w", userblock_size=block, libver=chance.choice((None, "latest"))
    ) as file:
        if 0.2 < harm < 0.5:
            with suppress(OSError):  # the newest format has no room for the size of some chunks
                chance.choice(_TRICKS)(file, wrong, chance)
        for name, array in sides.items():
            if name not in file:
                _write(file, name, array, options)
    content = buffer.getvalue()
    if 0.48 < harm < 0.52:  # all texts in one place of the file, as long as the longest
        return _shared_texts(chance)
    return damaged(content, chance) if harm > 0.5 and chance.random() < 0.8 else content


def _write(file: h5py.File, name: str, array: np.ndarray, options: dict[str, Any]) -> None:
    """Write an array with these options, or if it may have none of them without."""
    try:
        file.create_dataset(name, data=array, **options)
    except (TypeError, ValueError):
        if name in file:
            del file[name]
        kept = array if array.dtype.kind in "fiubcS" else np.zeros(array.shape, "S1")
        file[name] = kept


def _of_huge_chunk(file: h5py.File, name: str, chance: Random) -> None:
    """A few numbers in a chunk of hundreds of MiB that a thousandth of the bytes keep."""
    size = _BOMB * 2**20
    data = file.create_dataset(
        name, (5, 9), "u1", chunks=(size, 1), maxshape=(None, None), compression="gzip"
    )
    for column in range(chance.choice((1, 9))):
        data.id.write_direct_chunk((0, column), zeros(_BOMB))


def _of_long_stream(file: h5py.File, name: str, chance: Random) -> None:
    """A chunk of a few bytes whose packed stream goes on for hundreds of MiB."""
    data = file.create_dataset(name, (5, 9), "u1", chunks=(5, 9), compression="gzip")
    data.id.write_direct_chunk((0, 0), zeros(_BOMB))


def _of_odd_stream(file: h5py.File, name: str, chance: Random) -> None:
    data = file.create_dataset(name, (5, 9), "u1", chunks=(5, 9), compression="gzip", shuffle=True)
    stream = damaged(zlib.compress(bytes(chance.choice((0, 1, 44, 46)))), chance) or b"\0"
    data.id.write_direct_chunk((0, 0), stream, chance.choice((0, 1, 2, 3)))


def _of_any_shape(file: h5py.File, name: str, chance: Random) -> None:
    lengths = (*LENGTHS, 2**40, 2**62)
    shape = tuple(chance.choice(lengths) or 1 for _ in range(chance.choice((1, 2, 3))))
    dtype, fill = chance.choice((("u1", None), ("u1", 1), ("f8", 1), ("S1", None)))
    file.create_dataset(name, shape, dtype, chunks=(1,) * len(shape), fillvalue=fill)


def _of_other_file(file: h5py.File, name: str, chance: Random) -> None:
    way = chance.randrange(4)
    if way == 0:
        file[name] = h5py.ExternalLink(
            chance.choice(("fuzzed.h5", "/etc/passwd", "/dev/zero")), "x"
        )
    elif way == 1:
        file[name] = h5py.SoftLink(chance.choice(("/", name, "nowhere", "/y")))
    elif way == 2:
        file.create_dataset(name, (5, 9), "u1", external=[("/etc/passwd", 0, 45)])
    else:
        layout = h5py.VirtualLayout((5, 9), "u1")
        layout[:] = h5py.VirtualSource(chance.choice((".", "/etc/passwd")), name, (5, 9))
        file.create_virtual_dataset(name, layout)


def _of_odd_type(file: h5py.File, name: str, chance: Random) -> None:
    texts, numbers = h5py.string_dtype(), h5py.vlen_dtype("u1")
    ways: tuple[Callable[[], Any], ...] = (
        lambda: file.create_dataset(name, data=h5py.Empty("u1")),
        lambda: file.create_dataset(name, data=["x" * 10**6, *["a"] * 1000], dtype=texts),
        lambda: file.create_dataset(name, data=[b"\xff", b"a"], dtype=texts),
        lambda: file.create_dataset(name, (5,), numbers),
        lambda: file.create_dataset(name, (5,), h5py.ref_dtype),
        lambda: file.create_dataset(name, (5,), h5py.enum_dtype({"a": 1})),
        lambda: file.create_dataset(name, (5,), np.dtype([("a", texts), ("b", "u1", (2, 2))])),
        lambda: file.create_dataset(name, (5,), h5py.opaque_dtype("M8[ns]")),
        lambda: file.create_dataset(name, (5,), np.dtype(("u1", (2**20, 2**5)))),
        lambda: file.create_dataset(name, (5,), "S300000"),
        lambda: file.__setitem__(name, np.dtype("u1")),
    )
    chance.choice(ways)()


def _of_many_names(file: h5py.File, name: str, chance: Random) -> None:
    way = chance.randrange(4)
    if way == 0:
        file["/".join("a" * chance.choice((10, 1000)))] = 1
    elif way == 1:
        for number in range(500):
            file[f"{chance.choice(('x', 'a'))}{number}"] = number
    elif way == 2:
        file.create_group("loop")["loop"] = file["/"]
    else:
        file[os.fsencode(chance.choice(_ODD))] = np.zeros(3)


_TRICKS: Sequence[Callable[[h5py.File, str, Random], None]] = (
    *(_of_huge_chunk, _of_long_stream, _of_odd_stream, _of_any_shape),
    *(_of_other_file, _of_odd_type, _of_odd_type, _of_many_names),
)


@cache
def _texts() -> tuple[bytes, int, int]:
    """Return a file of labels that are texts, one of them long; where they lie, and how many."""
    buffer, count = io.BytesIO(), 2000
    with h5py.File(buffer, "w") as file:
        file["x"] = np.zeros((count, 3, 3), np.uint8)
        file.create_dataset(
            "y", data=["x" * 10**6, *["a"] * (count - 1)], dtype=h5py.string_dtype()
        )
        place = file["y"].id.get_offset()
    return buffer.getvalue(), place, count


def _shared_texts(chance: Random) -> bytes:
    """Return a file whose labels all point to one long text: each is read as a text of its own."""
    content, place, count = _texts()
    first = content[place : place + 16]
    if chance.random() < 0.3:
        first = struct.pack("<I", chance.choice(LENGTHS)) + first[4:]
    return content[:place] + first * count + content[place + 16 * count :]


def _make(chance: Random) -> Input:
    return placed(chance.choice((".h5", ".h5", ".hdf5")), h5, chance)


KIND = kind("HDF5", _make, share=4, mebibytes=256)
