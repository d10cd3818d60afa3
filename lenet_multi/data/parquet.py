"""Read Parquet tables: of encoded pictures, as Hugging Face has them, or of pixels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.bombs import refuse_bomb
from lenet_multi.data.found import LABEL_COLUMNS, NUMBERING_COLUMNS, WHOLE, Found, texts
from lenet_multi.data.pictures import decoded, stacked
from lenet_multi.errors import UserError, cannot_read, listed, reason
from lenet_multi.machine import extras

_LABELS = (*LABEL_COLUMNS, "fine_label")
_PICTURES = ("image", "img", "picture", "png", "jpg", "jpeg")
_WIDEST = 8  # bytes of a number


def read(path: Path) -> Found:
    """Return the images and labels of a table; a column of pictures has their encoded bytes.

    Raises `UserError` when pyarrow is missing, or the table cannot be read or lacks a column.
    """
    parquet = extras.require("pyarrow.parquet", "huggingface")
    try:
        with path.open("rb") as source, parquet.ParquetFile(source) as file:
            _refuse_bomb(path, file.metadata)
            return _found(path, file.read())
    except (UserError, MemoryError):
        raise
    except Exception as error:  # pyarrow raises errors of its own, and `OSError` for damage
        if isinstance(error, OSError) and error.errno:
            raise UserError(cannot_read(path, error)) from error
        raise UserError(
            f"{path} is no readable Parquet file: {reason(error)}; save it again"
        ) from error


def _found(path: Path, table: Any) -> Found:
    """Return the images and labels of a table; pyarrow may raise errors of any class."""
    columns = {name.lower(): name for name in table.column_names}
    label = next((columns[name] for name in _LABELS if name in columns), None)
    if label is None:
        found = listed(table.column_names)
        raise UserError(f"{path} has columns {found}; name the one of the labels label")
    given = table[label].to_pylist()
    are_names = all(isinstance(one, str | bytes) for one in given)
    labels = texts(path, given) if are_names else np.asarray(given)
    names = _class_names(table.schema.metadata, label)
    picture = next((columns[name] for name in _PICTURES if name in columns), None)
    left_out = {label, *(columns.get(name) for name in NUMBERING_COLUMNS)}
    pixels = [name for name in table.column_names if name not in left_out]
    of_lists = next((one for one in (picture, *pixels) if one and _has_lists(table[one])), None)
    if picture and not of_lists:
        images = stacked(path, _pictures(path, table[picture]), len(table), path.stat().st_size)
    else:
        images = _numbers(path, table, [of_lists] if of_lists else pixels)
    return Found({WHOLE: (images, labels)}, class_names=names)


def _has_lists(column: Any) -> bool:
    return "list<" in str(column.type).partition("struct")[0]


def _numbers(path: Path, table: Any, names: list[str]) -> NDArray[Any]:
    """Return the pixels in columns of numbers, or in one column of lists of numbers."""
    try:
        columns = [table[name] for name in names]
        if _has_lists(columns[0]):
            images = _of_lists(columns[0])
        else:
            images = np.stack([column.to_numpy() for column in columns], axis=1)
    except Exception:  # of any class, on other columns than those of numbers
        images = np.empty(0, object)
    if images.dtype.kind not in "fiub":
        others = f"columns {listed(names)}" if names else "no column but that of the labels"
        raise UserError(
            f"{path} has {others}; name the one of the pictures image, or give columns of pixels"
        )
    return images


def _of_lists(column: Any) -> NDArray[Any]:
    """Return lists of numbers, or lists of such lists, as an array; raise if they differ in length.

    No number becomes an object of Python, which would take thirty times the memory.
    """
    array, shape = column.combine_chunks(), [len(column)]
    while _has_lists(array):
        (length,) = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
        shape.append(int(length))
        array = array.flatten()
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(shape)


def _refuse_bomb(path: Path, metadata: Any) -> None:
    """Raise `UserError` when a table announces too many bytes: Parquet packs equal values."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    stored = sum(group.total_byte_size for group in groups)
    refuse_bomb(path, max(stored, metadata.num_rows * metadata.num_columns * _WIDEST))


def _pictures(path: Path, column: Any) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for row, value in enumerate(column):
        name = f"{path}, row {row}"
        yield name, decoded(_bytes(path, value.as_py()), name)


def _bytes(path: Path, value: Any) -> bytes:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise UserError(f"{path} has pictures that are no encoded bytes; save them in the table")
    return content


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """Return the names that Hugging Face's `datasets` keeps beside a table."""
    try:
        content = json.loads((metadata or {})[b"huggingface"])
        names = content["info"]["features"][label]["names"]
        return tuple(str(name) for name in names) if isinstance(names, list) else None
    except (LookupError, RecursionError, TypeError, ValueError):
        return None
