"""Damage bytes, JSON and zip archives: at random, and at weak spots."""

import copy
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any

from lenet_multi.runs.durable import SHA256, _digest
from tests.fuzz.canary import CANARY

LENGTHS = (0, 1, 2, 27, 28, 255, 256, 10**4, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = (
    *("", " ", "0", "-1", "nan", "\0", "\n", "a\nb", "\x1b[31m", "\ud800", "\udcff", "é", "\u202e"),
    *("../canary", str(CANARY), "..", ".", "/", "~", "%s%n", "{0}", "[red]", "x" * 300, "x" * 5000),
    *("keras:mnist", "hf:x", "tfds:x", "mnist", "nowhere.npz", "jax", "torch", "lambda", "true"),
)
NUMBERS = (0, 1, -1, 2, 10, 255, 256, 2**31, 2**63, 2**64, 10**30, 10**400, 0.0, -0.0, 0.5, 1e-320)
FLOATS = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308)
SHAPES: tuple[Any, ...] = (
    [],
    {},
    [[]],
    {"": None},
    [None],
    [1, 2, 3],
    None,
    True,
    False,
    json.loads("[" * 400 + "]" * 400),
)


def damaged(content: bytes, chance: Random) -> bytes:
    """Return `content` with one to four harms; rarely, replace it by random bytes."""
    if chance.random() < 0.03:
        return chance.randbytes(chance.choice((0, 1, 10, 100, 1000)))
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(_HARMS)(changed, chance)
    return bytes(changed)


def _flip(content: bytearray, chance: Random) -> None:
    if content:
        content[_place(content, chance)] ^= 1 << chance.randrange(8)


def _length(content: bytearray, chance: Random) -> None:
    """Overwrite two or four bytes that may be a length, often near the start."""
    form = chance.choice(("<H", ">H", "<I", ">I"))
    at = _place(content, chance)
    most = 2 ** (8 * struct.calcsize(form)) - 1
    packed = struct.pack(form, min(chance.choice(LENGTHS), most))
    content[at : at + len(packed)] = packed


def _truncate(content: bytearray, chance: Random) -> None:
    del content[_place(content, chance) :]


def _cut(content: bytearray, chance: Random) -> None:
    at = _place(content, chance)
    del content[at : at + chance.choice((1, 2, 4, 100))]


def _repeat(content: bytearray, chance: Random) -> None:
    at, count = _place(content, chance), chance.choice((1, 4, 100))
    content[at:at] = content[at : at + count] * chance.choice((1, 2, 10))


def _insert(content: bytearray, chance: Random) -> None:
    at = _place(content, chance)
    content[at:at] = chance.randbytes(chance.choice((1, 2, 4, 100)))


def _append(content: bytearray, chance: Random) -> None:
    content.extend(chance.choice((b"\0", b"x" * 1000, bytes(content), chance.randbytes(50))))


_HARMS: Sequence[Callable[[bytearray, Random], None]] = (
    *(_flip, _flip, _length, _length),
    *(_truncate, _cut, _repeat, _insert, _append),
)


def _place(content: bytearray, chance: Random) -> int:
    """Return a position in `content`, half of the time within its first 64 bytes."""
    most = min(64, len(content)) if chance.random() < 0.5 else len(content)
    return chance.randrange(max(1, most))


def changed_json(content: Any, chance: Random) -> Any:
    """Return a copy of `content` with one to three values changed, at any depth."""
    content = copy.deepcopy(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        holder, key = _spot(content, chance)
        harm = chance.random()
        if holder is None:
            content = odd(chance)
        elif harm < 0.2:
            del holder[key]
        elif harm < 0.35 and isinstance(holder, dict):
            holder[chance.choice(WORDS)] = holder[key]
        elif harm < 0.45 and isinstance(holder, list):
            holder.extend([holder[key]] * chance.choice((1, 2, 1000)))
        elif harm < 0.5:
            holder[key] = {"class_name": holder[key], "config": holder}  # the next line replaces it
            holder[key]["config"] = copy.deepcopy(odd(chance))
        else:
            holder[key] = odd(chance, like=holder[key])
    return content


def odd(chance: Random, *, like: Any = None) -> Any:
    """Return an unexpected value; half of the time it has the type of `like`."""
    if chance.random() < 0.5:
        if isinstance(like, str):
            return chance.choice((*WORDS, like * 2, like.upper(), like[:-1]))
        if isinstance(like, int | float) and not isinstance(like, bool):
            near = (like + 1, -like, str(like), [like]) if abs(like) < 2**64 else ()
            return chance.choice((*NUMBERS, *FLOATS, *near, *map(float, near[:2])))
        if isinstance(like, list) and like:
            return chance.choice((like * 2, like[:-1], like[::-1], [like], [*like, like[0]]))
    return copy.deepcopy(chance.choice((*WORDS, *NUMBERS, *FLOATS, *SHAPES)))


def _spot(content: Any, chance: Random) -> tuple[Any, Any]:
    """Return a random container in `content` and one of its keys."""
    holder = key = None
    while isinstance(content, dict | list) and content:
        holder = content
        key = (
            chance.choice([*content])
            if isinstance(content, dict)
            else chance.randrange(len(content))
        )
        content = content[key]
        if chance.random() < 0.3:
            break
    return holder, key


def json_bytes(content: Any, chance: Random) -> bytes:
    """Return `content` as JSON; one time in five the text itself is odd."""
    try:
        text = json.dumps(content, indent=chance.choice((None, 1)))
    except ValueError:  # an integer with more digits than Python writes
        text = '{"seed": ' + "9" * 5000 + "}"
    if chance.random() < 0.8:
        return text.encode()
    return chance.choice(_JSON_HARMS)(text, chance)


def _deep(text: str, chance: Random) -> bytes:
    depth = chance.choice((100, 1000, 100_000))
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
    inner = chance.choice((text, "1", ""))
    return (opening * depth + inner + closing * depth).encode()


def _twice(text: str, chance: Random) -> bytes:
    """Add a second value for the key schema_version."""
    return text.replace("{", '{"schema_version": 1, ', 1).encode()


def _number(text: str, chance: Random) -> bytes:
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    at = chance.choice(digits or [0])
    odd_one = chance.choice(
        ("1e999", "NaN", "-Infinity", "9" * 5000, "0x1", "01", "1.", '"\\ud800"')
    )
    return (text[:at] + odd_one + text[at + 1 :]).encode()


_JSON_HARMS: Sequence[Callable[[str, Random], bytes]] = (
    _deep,
    _twice,
    _number,
    lambda text, chance: b"\xef\xbb\xbf" + text.encode(),
    lambda text, chance: text.encode(chance.choice(("utf-16", "utf-32", "utf-16-be"))),
    lambda text, chance: damaged(text.encode(), chance),
    lambda text, chance: b'"\xff\xfe"',
    lambda text, chance: (text + text).encode(),
)


def signed(content: Any) -> Any:
    """Return `content` signed as `write_record` does, so that it passes the signature check."""
    if not isinstance(content, dict):
        return content
    rest = {name: value for name, value in content.items() if name != SHA256}
    try:
        return {**rest, SHA256: _digest(rest)}
    except ValueError:
        return content


@cache
def zeros(mebibytes: int) -> bytes:
    """Return a zlib stream of this many MiB of zeros; the stream is a thousandth of that."""
    pump = zlib.compressobj(9)
    piece = bytes(2**20)
    return b"".join(pump.compress(piece) for _ in range(mebibytes)) + pump.flush()


def archive(members: dict[str, bytes], chance: Random) -> bytes:
    """Return a zip archive of `members`, which may itself be odd."""
    buffer = io.BytesIO()
    way = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    way = chance.choice((way, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", way) as packed:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)  # dated 1980, not now
            member.compress_type = way
            packed.writestr(member, content)
        harm = chance.random()
        if harm < 0.1:
            packed.comment = chance.randbytes(100)
        elif harm < 0.25:
            packed.writestr(chance.choice(("../canary", str(CANARY), "a/../../canary")), b"out")
        elif harm < 0.3:
            packed.writestr("bomb", bytes(2**24))
    content = buffer.getvalue()
    if harm > 0.6:
        content = _harmed_records(content, chance)
    return content if harm < 0.8 else damaged(content, chance)


def _harmed_records(content: bytes, chance: Random) -> bytes:
    """Return an archive with one field changed, in a local header or in the directory."""
    changed = bytearray(content)
    # Offsets of flags, method, CRC and sizes in a local header and in the directory.
    kind, fields = chance.choice(
        (
            (b"PK\3\4", ((6, "<H"), (8, "<H"), (14, "<I"), (18, "<I"), (22, "<I"), (26, "<H"))),
            (b"PK\1\2", ((8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (42, "<I"))),
            (b"PK\5\6", ((8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H"))),
        )
    )
    places = [at for at in range(len(content)) if content.startswith(kind, at)]
    offset, form = chance.choice(fields)
    at = chance.choice(places) + offset
    most = 2 ** (8 * struct.calcsize(form)) - 1
    value = chance.choice((*LENGTHS, 1, 12, 14, 99))  # the last four are compression methods
    changed[at : at + struct.calcsize(form)] = struct.pack(form, min(value, most))
    return bytes(changed)
