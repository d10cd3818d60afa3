"""Parquet tables: of pixels, of encoded pictures, and of what no table of pictures has."""

import datetime
import decimal
import io
import json
from functools import cache
from random import Random
from typing import Any

from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input
from tests.fuzz.kinds import images as pictures
from tests.fuzz.kinds.idx import few
from tests.fuzz.mutations import changed_json, damaged, json_bytes
from tests.fuzz.placed import kind, placed

_CODECS = ("NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4", "BROTLI")
_FEATURES = {"info": {"features": {"label": {"names": [*"0123456789"], "_type": "ClassLabel"}}}}
_LONG = 2**20  # bytes of a value that a table keeps once


def _column(count: int, chance: Random) -> Any:
    """Return a column of no pixels, labels or pictures."""
    import pyarrow

    columns: tuple[Any, ...] = (
        [None] * count,
        [[1] * index for index in range(count)],
        [{"a": index} for index in range(count)],
        [decimal.Decimal(1)] * count,
        [datetime.datetime(2026, 1, 1)] * count,
        [float("nan")] * count,
        [2**62] * count,
        ["é"] * count,
        ["x" * _LONG] + ["a"] * (count - 1),
        [b"\xff"] * count,
        [True] * count,
        pyarrow.array([b"\xff\xfe"] * count).view("string"),  # no UTF-8
        pyarrow.array(["a"] * count).dictionary_encode(),
        pyarrow.array([1.5] * count, "float16"),
        pyarrow.array([[1, 2]] * count, pyarrow.list_(pyarrow.int8(), 2)),
        pyarrow.nulls(count),
    )
    return chance.choice(columns)


def parquet(chance: Random) -> bytes:
    """Return a table, mostly an odd one."""
    count, harm = chance.choice((2, 5)), chance.random()
    if harm < 0.06:
        return _repeated(chance.choice(("label", "image")))
    images, labels = (array[:count] for array in few()[:2])
    columns: list[tuple[str, Any]] = [("label", labels)]
    if chance.random() < 0.5:
        columns += [(f"p{index}", images[:, 9, index]) for index in range(25)]
    else:
        encoded = [
            pictures.picture(0) if chance.random() < 0.9 else pictures.content(chance)
            for _ in range(count)
        ]
        as_hub = chance.random() < 0.5
        column = [{"bytes": one, "path": None} for one in encoded] if as_hub else encoded
        columns.append(("image", column))
    if 0.06 < harm < 0.4:
        wrong = chance.randrange(len(columns))
        columns[wrong] = columns[wrong][0], _column(count, chance)
    elif harm < 0.45:
        del columns[chance.randrange(len(columns))]
    elif harm < 0.5:
        name = chance.choice(("label", "LABEL", "image", "x\n", "", "id", "é" * 3000))
        columns.insert(0, (name, _column(count, chance)))
    elif harm < 0.52:
        columns = [(name, column[:0]) for name, column in columns]
    content = _written(columns, chance)
    if harm < 0.6:
        return content
    return _with_damaged_footer(content, chance) if harm < 0.8 else damaged(content, chance)


def _written(columns: list[tuple[str, Any]], chance: Random) -> bytes:
    import pyarrow
    from pyarrow import parquet

    arrays = [pyarrow.array(column) for _, column in columns]
    table = pyarrow.Table.from_arrays(arrays, names=[name for name, _ in columns])
    if chance.random() < 0.4:
        is_odd = chance.random() < 0.7
        beside = json_bytes(changed_json(_FEATURES, chance), chance) if is_odd else None
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps(_FEATURES) if beside is None else beside}
        )
    buffer = io.BytesIO()
    parquet.write_table(
        table,
        buffer,
        compression=chance.choice(_CODECS),
        use_dictionary=chance.random() < 0.5,
        data_page_version=chance.choice(("1.0", "2.0")),
        row_group_size=chance.choice((None, 1)),
        write_page_checksum=chance.random() < 0.2,
    )
    return buffer.getvalue()


def _with_damaged_footer(content: bytes, chance: Random) -> bytes:
    """Return a file whose metadata are damaged, but not their length nor the pages."""
    length = int.from_bytes(content[-8:-4], "little")
    start = len(content) - 8 - length
    changed = damaged(content[start:-8], chance)
    return content[:start] + changed + len(changed).to_bytes(4, "little") + content[-4:]


@cache
def _repeated(name: str) -> bytes:
    """Return a table with one long value that thousands of rows have."""
    import pyarrow
    from pyarrow import parquet

    count = 3000
    value = pictures.picture(0) + bytes(_LONG) if name == "image" else "x" * _LONG
    repeated = pyarrow.DictionaryArray.from_arrays([0] * count, [value])
    columns = {"label": [0] * count, "image": [pictures.picture(0)] * count, name: repeated}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer, compression="ZSTD")
    return buffer.getvalue()


def _prepare() -> None:
    """Let pyarrow take memory where the limit of the worker sees it."""
    import pyarrow

    stand_ins.install()
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def _make(chance: Random) -> Input:
    return placed(".parquet", parquet, chance)


KIND = kind("Parquet", _make, share=4, mebibytes=512, prepare=_prepare)
