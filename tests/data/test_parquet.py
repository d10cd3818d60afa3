import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lenet_multi.data import parquet
from lenet_multi.data.converted import converted
from lenet_multi.data.found import WHOLE
from lenet_multi.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 5), dtype=np.uint8)
LABELS = np.arange(6) % 3
NAMES = ["cat", "dog", "fish"]


def png(image: np.ndarray) -> bytes:
    """Return an image as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, columns: dict[str, Any], **metadata: str) -> Path:
    """Write a table; the environments of single backends have no library for it."""
    import pyarrow
    from pyarrow import parquet as files

    table = pyarrow.table(columns).replace_schema_metadata(metadata)
    files.write_table(table, path)
    return path


@pytest.mark.parametrize("as_dictionary", [True, False])
def test_encoded_pictures_come_back(tmp_path: Path, as_dictionary: bool) -> None:
    """Hugging Face's tables have pictures as bytes and path, and the names beside them."""
    encoded: list[Any] = [png(image) for image in IMAGES]
    if as_dictionary:
        encoded = [{"bytes": one, "path": None, "places": [1, 2]} for one in encoded]
    features = {"label": {"names": NAMES, "_type": "ClassLabel"}}
    beside = {"huggingface": json.dumps({"info": {"features": features}})}
    path = write(tmp_path / "a.parquet", {"image": encoded, "label": LABELS}, **beside)
    found = parquet.read(path)
    np.testing.assert_array_equal(found.parts[WHOLE][0], IMAGES)
    np.testing.assert_array_equal(found.parts[WHOLE][1], LABELS)
    assert found.class_names == tuple(NAMES)


def test_columns_of_pixels_come_back(tmp_path: Path) -> None:
    """A table may have a column for each pixel."""
    columns = {f"pixel{index}": IMAGES.reshape(6, 25)[:, index] for index in range(25)}
    path = write(tmp_path / "a.parquet", {"label": LABELS, **columns})
    images, labels = parquet.read(path).parts[WHOLE]
    np.testing.assert_array_equal(images, IMAGES.reshape(6, 25))
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("name", "shape"), [("pixels", (25,)), ("image", (5, 5))], ids=["rows", "rows of rows"]
)
def test_a_column_of_lists_comes_back(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    """A column may have the pixels of an image as a list, or as a list for each row of pixels."""
    lists = IMAGES.reshape(6, *shape).tolist()
    path = write(tmp_path / "a.parquet", {"label": LABELS, "width": LABELS, name: lists})
    images, labels = parquet.read(path).parts[WHOLE]
    np.testing.assert_array_equal(images, IMAGES.reshape(6, *shape))
    np.testing.assert_array_equal(labels, LABELS)


def test_lists_may_be_of_one_length_or_of_bits(tmp_path: Path) -> None:
    """Parquet has a type for lists that are equally long; bits have one byte in arrays."""
    import pyarrow

    bits = IMAGES.reshape(6, 25) > 99
    for lists, wanted in (
        (pyarrow.array(IMAGES.reshape(6, 25).tolist(), pyarrow.list_(pyarrow.uint8(), 25)), IMAGES),
        (pyarrow.array(bits.tolist()), bits),
    ):
        path = write(tmp_path / "a.parquet", {"label": LABELS, "pixels": lists})
        images, _ = parquet.read(path).parts[WHOLE]
        np.testing.assert_array_equal(images, wanted.reshape(6, 25))


def test_names_may_be_labels(tmp_path: Path) -> None:
    """An example without one is refused."""
    path = write(tmp_path / "a.parquet", {"label": [*NAMES, *NAMES], "pixel": LABELS})
    assert parquet.read(path).parts[WHOLE][1].tolist() == [*NAMES, *NAMES]
    write(path, {"label": [*NAMES, ""], "pixel": LABELS[:4]})
    with pytest.raises(UserError, match=f"^{path} has an example without a label; "):
        parquet.read(path)


def test_a_table_is_the_source_of_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages on all of them together name it, and its bytes count."""
    encoded = [png(image) for image in IMAGES]
    path = write(tmp_path / "a.parquet", {"image": encoded, "label": LABELS})

    def stacked(*given: Any) -> Any:
        source, _, *counts = given
        assert [source, *counts] == [path, 6, path.stat().st_size]
        return IMAGES

    monkeypatch.setattr(parquet, "stacked", stacked)
    assert parquet.read(path).parts[WHOLE][0] is IMAGES


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"x"] * 6}, "has columns image; name the one of the labels label"),
        ({"image": [b"x"] * 6, "label": LABELS}, "row 0 is no readable picture"),
        ({"image": ["x"] * 6, "label": LABELS}, "pictures that are no encoded bytes"),
        ({"jpegs": [b"x"] * 6, "label": LABELS}, "has columns jpegs; name the one of the pictures"),
        ({"image": [[1], [1, 2]] * 3, "label": LABELS}, "has columns image; name the one of the"),
        (
            {"label": [0] * 2**20, "pixel": [0] * 2**20} | {f"p{i}": [0] * 2**20 for i in range(9)},
            "decompression bomb",
        ),
    ],
    ids=["no labels", "no pictures", "texts", "unknown name", "uneven", "bomb"],
)
def test_other_tables_are_refused(tmp_path: Path, columns: Any, message: str) -> None:
    """The error names the file and what it lacks."""
    path = write(tmp_path / "bad.parquet", columns)
    with pytest.raises(UserError, match=message) as caught:
        parquet.read(path)
    assert str(path) in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Bytes that are no Parquet give one line that names the file."""
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" + b"x" * 99)
    with pytest.raises(UserError, match=r"bad\.parquet"):
        parquet.read(tmp_path / "bad.parquet")


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the message says how to install it."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"pyarrow\.parquet .* 'lenet-multi\[huggingface\]'$"):
        parquet.read(tmp_path / "a.parquet")


@settings(max_examples=200)
@given(position=st.integers(0, 10_000), byte=st.integers(1, 255))
def test_a_damaged_byte_is_no_traceback(
    position: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """If any byte of a table changes, reading succeeds or raises one line."""
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    write(path, {"label": LABELS, "pixel": LABELS})
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= byte
    path.write_bytes(content)
    told: list[str] = []
    try:
        parquet.read(path)
    except UserError as error:
        told.append(str(error))
    assert "\n" not in "".join(told)


@pytest.mark.parametrize(
    "labels",
    [[[1], [1, 2]], [{"a": 1}, {}], ["x" * 10**6, "a"], ["", "a"]],
    ids=["lists", "structures", "a long text", "no text"],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: list[Any]) -> None:
    """Lists of any length, and texts that are hardly a name, give one line that names the file."""
    path = write(tmp_path / "bad.parquet", {"label": labels, "p": [0, 0]})
    with pytest.raises(UserError, match=r"bad\.parquet") as caught:
        converted(parquet.read(path), str(path), classes=10)
    assert "\n" not in str(caught.value)


def test_texts_in_another_code_are_refused(tmp_path: Path) -> None:
    """A column of texts may have bytes that are no UTF-8."""
    import pyarrow

    odd = pyarrow.array([b"\xff", b"a"]).view("string")
    path = write(tmp_path / "bad.parquet", {"label": odd, "p": [0, 0]})
    with pytest.raises(UserError, match=r"bad\.parquet is no readable Parquet file: 'utf-8'"):
        parquet.read(path)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    """Nobody knows which of two columns called label is meant."""
    import pyarrow
    from pyarrow import parquet as tables

    columns = pyarrow.Table.from_arrays([pyarrow.array([0])] * 3, names=["label", "label", "p"])
    tables.write_table(columns, tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=r"bad\.parquet"):
        parquet.read(tmp_path / "bad.parquet")


def test_deep_metadata_name_no_classes(tmp_path: Path) -> None:
    """What lies beside a table and cannot be read names no classes."""
    columns = {"label": LABELS, "pixel": LABELS}
    path = write(tmp_path / "a.parquet", columns, huggingface="[" * 100_000)
    assert parquet.read(path).class_names is None


def test_a_refusal_is_one_whole_line(tmp_path: Path) -> None:
    """The path comes first, then what is there, and the remedy last."""
    path = tmp_path / "a.parquet"
    letters = ["a", "b", "c", "d", "e", "f"]
    for columns, words in (
        (
            {"image": [b"x"] * 6, "a": LABELS},
            "has columns image, a; name the one of the labels label",
        ),
        (
            {"label": LABELS, "img": letters},
            "has pictures that are no encoded bytes; save them in the table",
        ),
        (
            {"label": LABELS, "png": [{"path": "a"}] * 6},
            "has pictures that are no encoded bytes; save them in the table",
        ),
    ):
        with pytest.raises(UserError) as refused:
            parquet.read(write(path, columns))
        assert str(refused.value) == f"{path} {words}"
    remedy = "; name the one of the pictures image, or give columns of pixels"
    with pytest.raises(UserError, match=f"^{path} has no column but that of the labels{remedy}$"):
        parquet.read(write(path, {"label": LABELS, "id": LABELS}))  # id numbers the rows
    with pytest.raises(UserError, match=f"^{path} has columns '?word'?{remedy}$"):
        parquet.read(write(path, {"label": LABELS, "word": ["x"] * len(LABELS)}))
    path.write_bytes(b"PAR1" + b"x" * 99)
    with pytest.raises(UserError) as refused:
        parquet.read(path)
    assert str(refused.value).startswith(f"{path} is no readable Parquet file: ")
    assert str(refused.value).endswith("; save it again")
    path.unlink()
    with pytest.raises(UserError) as refused:
        parquet.read(path)
    assert str(refused.value).startswith(f"cannot read {path}: ")


def test_a_picture_is_named_by_its_row(tmp_path: Path) -> None:
    """Rows are counted from 0."""
    encoded = [png(IMAGES[0]), b"no picture"]
    path = write(tmp_path / "a.parquet", {"image": encoded, "label": [0, 1]})
    with pytest.raises(UserError, match=f"^{path}, row 1 is no readable picture: "):
        parquet.read(path)


@pytest.mark.parametrize("label", ["Label", "fine_label", "class", "digit"])
@pytest.mark.parametrize("picture", ["IMAGE", "img", "picture", "png", "jpg", "jpeg"])
def test_columns_have_many_names(tmp_path: Path, label: str, picture: str) -> None:
    """In any case of letters."""
    encoded = [png(image) for image in IMAGES]
    path = write(tmp_path / "a.parquet", {"other": LABELS, picture: encoded, label: LABELS})
    images, labels = parquet.read(path).parts[WHOLE]
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_columns_that_number_the_images_are_no_pixels(tmp_path: Path) -> None:
    """In any case of letters, too."""
    columns = {"Id": LABELS, "label": LABELS, "index": LABELS, "a": LABELS, "b": LABELS}
    images, _ = parquet.read(write(tmp_path / "a.parquet", columns)).parts[WHOLE]
    np.testing.assert_array_equal(images, np.stack([LABELS, LABELS], axis=1))


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"info": {"features": {"label": {"names": ["a", 2]}}}}, ("a", "2")),
        ({"info": {"features": {"label": {"names": "ab"}}}}, None),
        ({"info": {"features": {"other": {"names": ["a"]}}}}, None),
        ({"info": {"features": {"label": None}}}, None),
        ({}, None),
    ],
)
def test_names_of_classes_lie_beside_a_table(content: Any, names: tuple[str, ...] | None) -> None:
    """What is no list of names for the column of labels is none."""
    metadata = {b"huggingface": json.dumps(content).encode()}
    assert parquet._class_names(metadata, "label") == names
    assert parquet._class_names(None, "label") is None
    assert parquet._class_names({b"huggingface": b"half"}, "label") is None


def test_rows_and_columns_are_a_bomb_together() -> None:
    """Each number counts eight bytes, or what the groups of rows store if that is more."""

    class Metadata:
        num_row_groups, num_rows, num_columns = 2, 2**20, 8

        def __init__(self, stored: int) -> None:
            self.stored = stored

        def row_group(self, index: int) -> Any:
            return type("Group", (), {"total_byte_size": self.stored})

    path = Path(__file__)  # small
    parquet._refuse_bomb(path, Metadata(2**25))
    with pytest.raises(UserError, match="announces 67,108,866 bytes"):
        parquet._refuse_bomb(path, Metadata(2**25 + 1))
    wide = Metadata(0)
    wide.num_columns = 9
    with pytest.raises(UserError, match="announces 75,497,472 bytes"):
        parquet._refuse_bomb(path, wide)
