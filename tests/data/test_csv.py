from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet_multi.data import csv
from lenet_multi.data.found import WHOLE
from lenet_multi.errors import UserError

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 16), dtype=np.uint8)
LABELS = np.arange(12) % 3
HEADER = ",".join(["label", *(f"pixel{index}" for index in range(16))])


def table(path: Path, columns: np.ndarray, header: str = "", delimiter: str = ",") -> Path:
    """Write a table."""
    rows = [delimiter.join(map(str, row)) for row in columns.tolist()]
    path.write_text("\n".join([*([header] if header else []), *rows, ""]))
    return path


FIRST = np.column_stack([LABELS, PIXELS])
LAST = np.column_stack([PIXELS, LABELS])
LAST[:, 0] = 0  # as the corner of most pictures is
NUMBERED = np.column_stack([np.arange(12), FIRST])


@pytest.mark.parametrize(
    ("columns", "header", "delimiter"),
    [
        (FIRST, HEADER, ","),
        (FIRST, "", ","),
        (FIRST, "", "\t"),
        (FIRST, HEADER.replace(",", ";"), ";"),
        (FIRST, HEADER.replace("label", '"Label"'), ","),
        (FIRST, "\ufeff" + HEADER, ","),
        (FIRST, ",".join(["0", *(f"0.{index}" for index in range(16))]), ","),
        (NUMBERED, "," + HEADER, ","),
        (NUMBERED, "id," + HEADER, ","),
    ],
    ids=[
        *("Kaggle", "no header", "tabs", "semicolons", "quotes", "byte order mark"),
        *("a lost first row", "pandas's index", "id"),
    ],
)
def test_a_label_comes_before_its_pixels(
    tmp_path: Path, columns: np.ndarray, header: str, delimiter: str
) -> None:
    """Tables of pixels are read with and without a header, and with any separator."""
    found = csv.read(table(tmp_path / "train.csv", columns, header, delimiter))
    images, labels = found.parts[WHOLE]
    np.testing.assert_array_equal(images, PIXELS)
    np.testing.assert_array_equal(labels, LABELS)
    assert images.dtype == np.uint8
    assert ("first column is taken" in str(found.notes)) == ("abel" not in header)


@pytest.mark.parametrize("header", ["", ",".join([*(f"p{i}" for i in range(16)), "class"])])
def test_a_label_may_come_last(tmp_path: Path, header: str) -> None:
    """The last column has the labels if it is called so, or if the first one never changes."""
    images, labels = csv.read(table(tmp_path / "a.csv", LAST, header)).parts[WHOLE]
    np.testing.assert_array_equal(images, LAST[:, :-1])
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(("place", "word"), [(0, "first"), (16, "last")])
def test_a_label_has_fewer_values_than_a_pixel(tmp_path: Path, place: int, word: str) -> None:
    """Where no corner of the pictures is constant, the labels are the column of fewer values."""
    columns = np.insert(PIXELS, place, LABELS, axis=1)
    found = csv.read(table(tmp_path / "photographs.csv", columns))
    images, labels = found.parts[WHOLE]
    np.testing.assert_array_equal(images, PIXELS)
    np.testing.assert_array_equal(labels, LABELS)
    assert f"its {word} column is taken" in found.notes[0]


def test_a_table_without_labels_is_said(tmp_path: Path) -> None:
    """Kaggle's test.csv has pixels alone: it gives no images, and a note says so."""
    header = HEADER.removeprefix("label,")
    found = csv.read(table(tmp_path / "test.csv", PIXELS, header))
    assert not found.parts
    assert "test.csv has no labels" in found.notes[0]


def test_names_may_be_labels(tmp_path: Path) -> None:
    """Labels that are letters are read as texts, without quotes of any kind."""
    path = tmp_path / "letters.csv"
    path.write_text(f"{HEADER}\n'a',{','.join('1' * 16)}\n\"b\",{','.join('2' * 16)}\n")
    images, labels = csv.read(path).parts[WHOLE]
    assert list(labels) == ["a", "b"]
    assert images[:, 0].tolist() == [1, 2]


def test_floats_stay_floats(tmp_path: Path) -> None:
    """Pixels in [0, 1] are read as they are; `converted` scales them."""
    columns = np.column_stack([LABELS, PIXELS / 255])
    images, labels = csv.read(table(tmp_path / "a.csv", columns, HEADER)).parts[WHOLE]
    np.testing.assert_allclose(images, PIXELS / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b,c\n1,2,3\n", "has a, b, c; give a column label"),
        (b"1,2,3\n4,5,6\n", "has 3 columns; give a column label"),
        ((HEADER + "\n" + "1," * 16 + "x\n").encode(), "is no table of pixels"),
        ((HEADER + "\n" + "1," * 16 + "1\n1,2\n").encode(), "is no table of pixels"),
        (b"\xff\xfe\x00\x01" * 99, "is no table of pixels"),
        (
            (",".join(f"p{i}" for i in range(5000)) + "\n" + "1," * 4999 + "1").encode(),
            "more; give",
        ),
    ],
    ids=["empty", "three names", "three numbers", "a letter", "a short row", "bytes", "5000 names"],
)
def test_what_is_no_table_of_pixels_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """The error is one short line that names the file."""
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        csv.read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(position=st.integers(0, 10_000), byte=st.integers(1, 255))
def test_a_damaged_byte_is_no_traceback(
    position: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """If any byte of a table changes, reading succeeds or raises one line."""
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    table(path, FIRST, HEADER)
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= byte
    path.write_bytes(content)
    told: list[str] = []
    try:
        csv.read(path)
    except UserError as error:
        told.append(str(error))
    assert "\n" not in "".join(told)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,2", r"line 3 has 2 columns and no label"),
        (f"{'1,' * 16}{'x' * 1000}", "has a label of 1,000 letters"),
        ("1," * 16, "has an example without a label"),
    ],
)
def test_a_row_without_a_name_is_refused(tmp_path: Path, row: str, message: str) -> None:
    """Where labels are names, each row must have one, and no row a text of any length."""
    path = tmp_path / "letters.csv"
    path.write_text(f"{'1,' * 16}a\n{'2,' * 16}b\n{row}\n")
    with pytest.raises(UserError, match=message) as caught:
        csv.read(path)
    assert str(path) in str(caught.value)
