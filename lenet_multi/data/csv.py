"""Read tables of pixels: a row for each image, its label in one column, as Kaggle has them."""

import csv
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.found import LABEL_COLUMNS, NUMBERING_COLUMNS, WHOLE, Found, texts
from lenet_multi.errors import UserError, cannot_read, listed, reason

_LONGEST = 2**27  # bytes of a field: a line of text is no more memory than this


def read(path: Path) -> Found:
    """Return the images, as rows of pixels, and the labels of a table.

    A table without labels has no parts. Raises `UserError` when it cannot be read or is none of
    pixels.
    """
    try:
        return _read(path)
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error
    except (ValueError, csv.Error, UserWarning) as error:
        raise UserError(
            f"{path} is no table of pixels: {reason(error)[:200]}; give a label and the pixels of "
            "an image in each row"
        ) from error


def header_and_row(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of a table's columns, none if it has no header, and its first row.

    Raises `OSError`, `ValueError` or `csv.Error` when it is no table.
    """
    csv.field_size_limit(_LONGEST)
    first: list[str]
    second: list[str]
    with reading(path) as rows:
        first, second = next(rows, []), next(rows, [])
    if not first:
        raise ValueError("it is empty")
    # Some tools took the first image for the names and made them unique: "0", "0.1", "0.2".
    made = not all(map(_is_whole, first)) and all(map(_is_whole, second)) and bool(second)
    named = made or not all(map(_is_number, first))
    return ([name.strip() for name in first], second) if named else ([], first)


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Yield a reader of a table's rows, whatever separates its columns.

    Raises `OSError`, `ValueError` or `csv.Error` when it is no table.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield csv.reader(file, delimiter=delimiter(path))


def delimiter(path: Path) -> str:
    """Return what separates the columns of a table."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(_LONGEST)
    return max(",;\t", key=line.count)


def _read(path: Path) -> Found:
    names, row = header_and_row(path)
    if names and len(names) != len(row):
        raise ValueError(f"its header has {len(names)} columns, its first row {len(row)}")
    lower = [name.lower() for name in names]
    columns = [at for at in range(len(row)) if not names or lower[at] not in NUMBERING_COLUMNS]
    label = next((lower.index(name) for name in LABEL_COLUMNS if name in lower), None)
    if label is None and _is_square(len(columns)) and not _is_square(len(columns) - 1):
        return Found({}, (f"{path} has no labels; its images are not used",))
    if label is None and not _is_square(len(columns) - 1):
        found = listed(names) if names else f"{len(columns)} columns"
        raise UserError(
            f"{path} has {found}; give a column label, and as many of pixels as a square image has"
        )
    of_texts = [at for at in columns if not _is_number(row[at])]
    if label is None and not of_texts:
        return _of_numbers(path, _numbers(path, columns, bool(names)))
    label = of_texts[0] if label is None else label
    pixels = [at for at in columns if at != label]
    if not of_texts:
        whole = _numbers(path, [label, *pixels], bool(names))
        return Found({WHOLE: (whole[:, 1:], whole[:, 0])})
    labels = texts(path, _column(path, label, bool(names)))
    return Found({WHOLE: (_numbers(path, pixels, bool(names)), labels)})


def _of_numbers(path: Path, whole: NDArray[Any]) -> Found:
    """Return images and labels of a table whose columns have no names."""
    # A label has few values, but more than one; the first pixel of most pictures has only one.
    first, last = (len(np.unique(whole[:, at])) for at in (0, -1))
    is_last = first == 1 < last or 1 < last < first
    note = f"{path}: its {'last' if is_last else 'first'} column is taken for the labels"
    images, labels = (whole[:, :-1], whole[:, -1]) if is_last else (whole[:, 1:], whole[:, 0])
    return Found({WHOLE: (images, labels)}, (note,))


def _column(path: Path, column: int, has_names: bool) -> list[str]:
    """Return the texts in a column of a table, without its header and quotes of any kind."""
    found = []
    with reading(path) as rows:
        for row in islice(filter(None, rows), int(has_names), None):
            if len(row) <= column:
                raise ValueError(f"line {rows.line_num} has {len(row)} columns and no label")
            found.append(row[column].strip("'\" "))
    return found


def _numbers(path: Path, columns: list[int], has_names: bool) -> NDArray[Any]:
    """Return columns of a table: bytes if all of them are, else floats."""
    given: dict[str, Any] = {
        "delimiter": delimiter(path),
        "skiprows": int(has_names),
        "usecols": columns,
        "ndmin": 2,
        "comments": None,
        "quotechar": '"',
        "encoding": "utf-8-sig",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy only warns of a table without rows
        try:
            return np.loadtxt(path, np.uint8, **given)
        except ValueError:
            return np.loadtxt(path, np.float32, **given)


def _is_square(count: int) -> bool:
    return count > 3 and math.isqrt(count) ** 2 == count


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_whole(text: str) -> bool:
    return text.strip().isdecimal()
