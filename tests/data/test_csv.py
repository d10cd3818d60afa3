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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "",
            "is no table of pixels: it is empty; give a label and the pixels of an image in each "
            "row",
        ),
        (
            "a,b\n1\n",
            "is no table of pixels: its header has 2 columns, its first row 1; give a label and "
            "the pixels of an image in each row",
        ),
        (
            "a,b,c\n1,2,3\n",
            "has a, b, c; give a column label, and as many of pixels as a square image has",
        ),
        (
            "1,2,3\n",
            "has 3 columns; give a column label, and as many of pixels as a square image has",
        ),
    ],
    ids=["empty", "short row", "names", "numbers"],
)
def test_a_refusal_is_one_whole_line(tmp_path: Path, content: str, words: str) -> None:
    """The path comes first, then what is wrong, and what to give."""
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(UserError) as refused:
        csv.read(path)
    assert str(refused.value) == f"{path} {words}"


def test_a_file_that_cannot_be_read_is_one_whole_line(tmp_path: Path) -> None:
    """The system's words are the reason, and a long reason is cut."""
    with pytest.raises(UserError) as refused:
        csv.read(tmp_path)
    assert str(refused.value) == f"cannot read {tmp_path}: Is a directory; give a readable file"
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n{'1,' * 16}{'9' * 20}x{'y' * 500}\n{'1,' * 16}2")
    path.write_text(path.read_text().replace("1,", "z" * 400 + ",", 1))
    with pytest.raises(UserError) as refused:
        csv.read(path)
    assert len(str(refused.value)) < len(str(path)) + 320


def test_a_note_is_one_whole_line(tmp_path: Path) -> None:
    """What was assumed of a table is said with its path."""
    path = table(tmp_path / "a.csv", FIRST)
    assert csv.read(path).notes == (f"{path}: its first column is taken for the labels",)
    assert csv.read(table(path, LAST)).notes == (
        f"{path}: its last column is taken for the labels",
    )
    found = csv.read(table(path, PIXELS, HEADER.removeprefix("label,")))
    assert found.notes == (f"{path} has no labels; its images are not used",)
    assert csv.read(table(path, FIRST, HEADER)).notes == ()


@pytest.mark.parametrize("column", ["labels", "Class", "target", "y", "digit", "character"])
def test_a_column_of_labels_has_many_names(tmp_path: Path, column: str) -> None:
    """In any case and with spaces around it; other columns than pixels number the images."""
    names = [f"p{index}" for index in range(16)]
    header = ",".join(["ImageId", *names[:8], f" {column} ", *names[8:]])
    columns = np.column_stack([np.arange(12), PIXELS[:, :8], LABELS, PIXELS[:, 8:]])
    images, labels = csv.read(table(tmp_path / "a.csv", columns, header)).parts[WHOLE]
    np.testing.assert_array_equal(images, PIXELS)
    np.testing.assert_array_equal(labels, LABELS)


def test_a_header_is_told_from_a_row(tmp_path: Path) -> None:
    """Names that are no numbers are a header; so are numbers that a tool made of a row."""
    for text, names, row in (
        ("a,2\n1,2\n", ["a", "2"], ["1", "2"]),
        (" a , b\n1,2\n", ["a", "b"], ["1", "2"]),
        ("1,2\n3,4\n", [], ["1", "2"]),
        ("0,0.1\n3,4\n", ["0", "0.1"], ["3", "4"]),
        ("0,0.1\n3,0.4\n", [], ["0", "0.1"]),
        ("0,0.1\n", [], ["0", "0.1"]),
        ("nan,1\n2,3\n", ["nan", "1"], ["2", "3"]),
        ("a,b\n", ["a", "b"], []),
    ):
        path = tmp_path / "a.csv"
        path.write_text(text)
        assert csv.header_and_row(path) == (names, row)


def test_what_separates_columns_is_the_most_frequent(tmp_path: Path) -> None:
    """Of comma, semicolon and tab, in the first line; a comma where none is there."""
    for text, separator in (("a,b;c;d\n,,,,", ";"), ("a\tb", "\t"), ("a", ","), ("", ",")):
        (tmp_path / "a.csv").write_text(text)
        assert csv.delimiter(tmp_path / "a.csv") == separator


def test_an_image_has_four_pixels_or_more(tmp_path: Path) -> None:
    """Four make a square image; one does not, and neither do two columns."""
    images, _ = csv.read(table(tmp_path / "a.csv", FIRST[:, :5])).parts[WHOLE]
    assert images.shape == (12, 4)
    with pytest.raises(UserError, match="has 2 columns; give"):
        csv.read(table(tmp_path / "a.csv", FIRST[:, :2]))


def test_the_column_of_texts_has_the_labels(tmp_path: Path) -> None:
    """Whatever its name is, and whatever separates it; only quotes and spaces are taken off."""
    names = ";".join(["kind", *(f"p{index}" for index in range(16))])
    path = tmp_path / "a.csv"
    path.write_text(f"{names}\n'Xa';{';'.join('1' * 16)}\n \"b\" ;{';'.join('2' * 16)}\n")
    images, labels = csv.read(path).parts[WHOLE]
    assert list(labels) == ["Xa", "b"]
    assert images.shape == (2, 16)
    path.write_text("1,2,a\n1,2\n")
    with pytest.raises(ValueError, match="line 2 has 2 columns and no label"):
        csv._column(path, 2, has_names=False)


def test_labels_without_a_name_are_beside_the_numbers_of_images(tmp_path: Path) -> None:
    """A column that numbers the images is none of labels."""
    header = ",".join(["id", *(f"a{index}" for index in range(17))])
    images, labels = csv.read(table(tmp_path / "a.csv", NUMBERED, header)).parts[WHOLE]
    np.testing.assert_array_equal(images, PIXELS)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("rows", "is_last"),
    [
        ([[0, 1, 2, 3], [0, 4, 5, 3]], False),
        ([[0, 1, 2, 3], [0, 4, 5, 6]], True),
        ([[0, 1, 2, 3], [1, 4, 5, 6]], False),
        ([[0, 1, 2, 3], [1, 4, 5, 3]], False),
        ([[0, 1, 2, 3], [1, 4, 5, 6], [2, 7, 8, 6]], True),
        ([[0, 1, 2, 3]], False),
    ],
    ids=[
        *("neither changes", "the last changes", "both change", "the first changes"),
        *("the last has fewer", "one row"),
    ],
)
def test_a_column_that_never_changes_has_no_labels(rows: list[list[int]], is_last: bool) -> None:
    """The last one has them, if it changes and the first does not, or has fewer values."""
    whole = np.array(rows)
    _, labels = csv._of_numbers(Path("a.csv"), whole).parts[WHOLE]
    np.testing.assert_array_equal(labels, whole[:, -1 if is_last else 0])


def test_fractions_are_read_as_float32(tmp_path: Path) -> None:
    """They take no more memory than that; a table without labels has no parts."""
    columns = np.column_stack([LABELS, PIXELS / 255])
    images, _ = csv.read(table(tmp_path / "a.csv", columns, HEADER)).parts[WHOLE]
    assert images.dtype == np.float32
    assert csv.read(table(tmp_path / "b.csv", PIXELS, HEADER[6:])).parts == {}
