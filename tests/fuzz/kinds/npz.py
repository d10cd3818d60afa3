"""Archives of NumPy arrays."""

import io
import pickle
import zipfile
from functools import cache
from random import Random
from typing import Any

import numpy as np

from tests.fuzz import stand_ins
from tests.fuzz.canary import CALL
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds.idx import few
from tests.fuzz.mutations import LENGTHS, archive, damaged

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
FILE = "fuzzed.npz"
_BOMB = 300  # MiB


class Payload:
    """An object that touches the canary when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, (CALL,)


def npy(array: np.ndarray) -> bytes:
    """Return `array` as an .npy; objects are pickled."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def headed(header: str, content: bytes, *, version: int = 1) -> bytes:
    """Return an .npy with this header."""
    length = len(header).to_bytes(2 if version == 1 else 4, "little", signed=False)
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + content


def _make(chance: Random) -> Input:
    arguments = ("train", "--data", FILE, "--out", "out", "--quiet")
    return Input(arguments=arguments, files={FILE: _content(chance)}, culprit=FILE)


def _content(chance: Random) -> bytes:
    count = chance.choice((1, 3))
    arrays = [array[:count] for array in few()]
    members = {f"{name}.npy": npy(array) for name, array in zip(ARRAYS, arrays, strict=True)}
    wrong = chance.randrange(4)
    name = f"{ARRAYS[wrong]}.npy"
    harm = chance.random()
    if harm < 0.2:
        members[name] = npy(other(arrays[wrong], chance))
    elif harm < 0.4:
        members[name] = lying(arrays[wrong], chance)
    elif harm < 0.55:
        members[name] = damaged(members[name], chance)
    elif harm < 0.6:
        del members[name]
    elif harm < 0.65:
        members[chance.choice(("a.npy", "../x_train.npy", "x_train", "é"))] = b"x"
    elif harm < 0.7:
        return pickle.dumps(Payload(), protocol=chance.randrange(6))
    elif harm < 0.73:
        return chance.choice(tuple(members.values()))
    elif harm < 0.76:
        return _bomb(name)
    return archive(members, chance)


def other(array: np.ndarray, chance: Random) -> np.ndarray:
    """Return an array of another type or shape."""
    kind = chance.choice(
        ("f2", "f4", "f8", "g", "c8", "c16", "b1", "i1", "i8", ">u2", ">i8", "u8", "O", "U5", "S3")
    )
    ways: tuple[Any, ...] = (
        lambda: array.astype(kind),
        lambda: array.astype(kind)[np.newaxis],
        lambda: array.reshape(-1),
        lambda: array[..., np.newaxis],
        lambda: array[:0],
        lambda: np.array(3, np.uint8),
        lambda: np.array([Payload(), None], object),
        lambda: np.zeros(3, "V10"),
        lambda: np.zeros(2, [("a", "u1"), ("b", "f4", (2,))]),
        lambda: np.zeros(2, "M8[ns]"),
        lambda: np.asfortranarray(array),
        lambda: np.full(array.shape, 255, np.uint8),
        lambda: np.zeros(array.shape + (1,) * 20, np.uint8),
        lambda: np.full(len(array), chance.choice((-1, 2**63 - 1, 10)), np.int64),
        lambda: np.full(len(array), 2**64 - 1, np.uint64),
        lambda: array.repeat(2, axis=0),
    )
    changed: np.ndarray = chance.choice(ways)()
    return changed


def lying(array: np.ndarray, chance: Random) -> bytes:
    """Return the array's bytes with the header of another array."""
    shape: Any = [*array.shape]
    shape[chance.randrange(len(shape))] = chance.choice((*LENGTHS, -1, 2**63, 2**70, True, 1.5))
    shape = tuple(shape)
    shape = chance.choice((shape, shape, shape, "x", (), (1,) * 70, None, [2], (2**31,) * 3))
    kind = chance.choice(
        ("|u1", "|u1", "|u1", "|O", "<f8", "|V0", "|S0", "x", "<U99999999", "|V99")
    )
    header = repr({"descr": kind, "fortran_order": chance.choice((False, True, 0)), "shape": shape})
    header = chance.choice(
        (
            *(header,) * 8,
            CALL,
            header[:-1],
            header * 2,
            " " * 20_000 + header,
            "[" * 1000 + "]" * 1000,
            header.replace("shape", "Shape"),
            "{" + "'a':{" * 200 + "}" * 201,
            "9" * 5000,
            header.replace(")", "L)"),
            header + "\0",
        )
    )
    return headed(header[:60_000], array.tobytes(), version=chance.choice((1, 1, 1, 2, 3, 4)))


@cache
def _bomb(name: str) -> bytes:
    """Return an archive with a large member of zeros, a thousandth of its size, honestly headed."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": (_BOMB, 2**10, 2**10)}) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for other in (other for other in ARRAYS if f"{other}.npy" != name):
            packed.writestr(f"{other}.npy", npy(np.zeros(3, np.uint8)))
        with packed.open(name, "w", force_zip64=True) as member:
            member.write(headed(header, b""))
            for _ in range(_BOMB):
                member.write(bytes(2**20))
    return buffer.getvalue()


KIND = Kind(
    name="npz",
    make=_make,
    share=15,
    mebibytes=128,
    prepare=stand_ins.install,
    told=r"What was kept so far: .*",
)
