from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet_multi.data import folders, pictures
from lenet_multi.errors import UserError


def draw(path: Path, value: int) -> None:
    """Save a picture of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path)


def classes(folder: Path, names: Sequence[str], *, each: int = 2) -> None:
    """Make a folder for each class; a picture's grey is ten times its class, and its number."""
    for index, name in enumerate(names):
        for number in range(each):
            draw(folder / name / f"{number}.png", 10 * index + number)


def seen(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """Return, by part, the classes and greys of the pictures that are read."""
    found = folders.read(folder)
    assert found
    assert found.is_sorted
    return {
        part: [(str(label), int(image[0, 0])) for image, label in zip(x, y, strict=True)]
        for part, (x, y) in found.parts.items()
    }


PAIR = [("cat", 0), ("cat", 1), ("dog", 10), ("dog", 11)]


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Training", "Testing"), ("seg_train/seg_train", "seg_test/seg_test")],
)
def test_parts_have_a_folder_for_each_class(tmp_path: Path, train: str, test: str) -> None:
    """Each part has a folder of pictures for each class, maybe in a folder of its own."""
    classes(tmp_path / train, ["cat", "dog"])
    classes(tmp_path / test, ["cat", "dog"])
    assert seen(tmp_path) == {"train": PAIR, "test": PAIR}


def test_a_validation_part_is_one(tmp_path: Path) -> None:
    """A folder val beside train is the validation set."""
    for part in ("train", "val", "test"):
        classes(tmp_path / part, ["cat", "dog"])
    assert set(seen(tmp_path)) == {"train", "validation", "test"}


def test_two_folders_of_one_part_are_put_together(tmp_path: Path) -> None:
    """No picture is lost where two folders are for training."""
    classes(tmp_path / "train", ["cat", "dog"])
    classes(tmp_path / "training", ["cat", "dog"])
    assert seen(tmp_path) == {"train": PAIR + PAIR}


def test_classes_alone_are_in_no_part(tmp_path: Path) -> None:
    """Folders of classes without parts are the whole; other files are left alone."""
    classes(tmp_path, ["cat", "dog"])
    (tmp_path / "README.txt").write_text("cats and dogs")
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "cat" / "._0.png").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    assert seen(tmp_path) == {"whole": PAIR}
    found = folders.read(tmp_path)
    assert found
    assert found.notes == ()


def test_a_class_may_have_any_other_name(tmp_path: Path) -> None:
    """Only what begins with a dot or an underscore is left alone."""
    classes(tmp_path, ["X", "of-x"])
    assert seen(tmp_path) == {"whole": [("X", 0), ("X", 1), ("of-x", 10), ("of-x", 11)]}
    draw(tmp_path / "X" / "X" / "9.png", 0)
    found = folders.read(tmp_path)
    assert found
    assert f"not used: 1, such as {tmp_path / 'X' / 'X' / '9.png'}" in found.notes[0]


def test_parts_may_lack_the_one_for_training(tmp_path: Path) -> None:
    """All folders are parts then; beside a folder that is none, they are classes."""
    for part in ("test", "val"):
        classes(tmp_path / "parts" / part, ["cat", "dog"])
    assert seen(tmp_path / "parts") == {"test": PAIR, "validation": PAIR}
    classes(tmp_path / "classes", ["cat", "test"])
    assert [label for label, _ in seen(tmp_path / "classes")["whole"]] == [
        *("cat", "cat"),
        *("test", "test"),
    ]


def test_a_class_may_be_called_like_a_part(tmp_path: Path) -> None:
    """Of classes called train and bus, pictures in train are of trains."""
    classes(tmp_path, ["bus", "train"])
    assert seen(tmp_path) == {"whole": [("bus", 0), ("bus", 1), ("train", 10), ("train", 11)]}


def test_a_part_without_labels_is_said(tmp_path: Path) -> None:
    """A note says that pictures of a test part without classes are not used."""
    classes(tmp_path / "train", ["cat", "dog"])
    draw(tmp_path / "test" / "0.png", 1)
    found = folders.read(tmp_path)
    assert found
    assert set(found.parts) == {"train"}
    assert str(tmp_path / "test") in found.notes[0]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("train/dog/9.heic", "their format is not read; save them as PNG"),
        ("train/dog/session/9.png", "no folder or table gives their class"),
        ("train/9.png", "no folder or table gives their class"),
        ("extra/fox/9.png", "no folder or table gives their class"),
    ],
    ids=["a format", "too deep", "without a class", "no part"],
)
def test_pictures_that_are_not_used_are_said(tmp_path: Path, place: str, words: str) -> None:
    """No picture is passed over in silence: a line counts them, names one, and says why."""
    for part in ("train", "test"):
        classes(tmp_path / part, ["cat", "dog"])
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(b"x")
    found = folders.read(tmp_path)
    assert found
    (note,) = found.notes
    assert note == f"pictures that are not used: 1, such as {tmp_path / place}: {words}" + (
        " to use them" if "PNG" in words else ""
    )


def test_pictures_that_a_table_lacks_are_said(tmp_path: Path) -> None:
    """Of two pictures of which labels.csv names one, a line names the other."""
    for value in (0, 1):
        draw(tmp_path / f"{value}.png", value)
    (tmp_path / "labels.csv").write_text("file,label\n0.png,cat\n")
    found = folders.read(tmp_path)
    assert found
    assert f"not used: 1, such as {tmp_path / '1.png'}" in found.notes[0]


def test_a_name_of_two_pictures_needs_its_folder(tmp_path: Path) -> None:
    """A table that names one of two pictures of a name is refused; with folders it is read."""
    for folder in ("a", "b"):
        draw(tmp_path / folder / "0.png", 0 if folder == "a" else 10)
    (tmp_path / "labels.csv").write_text("file,label\n0.png,cat\n")
    with pytest.raises(UserError) as refused:
        folders.read(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}/labels.csv names 0.png in line 2, which may be {tmp_path}/a/0.png or "
        f"{tmp_path}/b/0.png; give the folder too"
    )
    (tmp_path / "labels.csv").write_text("file,label\na/0.png,cat\nb/0.png,dog\n")
    assert seen(tmp_path) == {"whole": [("cat", 0), ("dog", 10)]}


@pytest.mark.parametrize(
    "table",
    [
        "filename,label\n0.png,cat\n1.png,cat\n10.png,dog\n11.png,dog\n",
        "label;image\ncat;0.png\ncat;1.png\ndog;10.png\ndog;11.png\n",
        "id,class\n0,cat\n1,cat\n10,dog\n11,dog\n",
        "\ufefffile,width,label\nflat/0.png,4,cat\n./1.png,4,cat\n10.png,4,dog\nflat\\11.png,4,dog\n",
    ],
    ids=["names", "semicolons", "ids", "paths"],
)
def test_a_flat_folder_has_its_labels_in_a_table(tmp_path: Path, table: str) -> None:
    """labels.csv names files with or without a path and an ending, and their classes."""
    for value in (0, 1, 10, 11):
        draw(tmp_path / f"{value}.png", value)
    (tmp_path / "labels.csv").write_text(table)
    assert seen(tmp_path) == {"whole": PAIR}


def test_pictures_may_lie_beside_their_table(tmp_path: Path) -> None:
    """The pictures of a table may lie in a folder beside it; the table may name the parts."""
    for value in (0, 1, 10, 11):
        draw(tmp_path / "images" / f"{value}.png", value)
    rows = ["0.png,cat,train", "1.png,cat,train", "10.png,dog,val", "11.png,dog,test"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    assert seen(tmp_path) == {"train": PAIR[:2], "validation": PAIR[2:3], "test": PAIR[3:]}


@pytest.mark.parametrize("place", ["train/labels.csv", "train.csv", "train_labels.csv"])
def test_each_part_may_have_a_table(tmp_path: Path, place: str) -> None:
    """A flat part has its table in its folder, or beside it under its name, as on Kaggle."""
    for value in (0, 1, 10, 11):
        draw(tmp_path / "train" / f"{value}.png", value)
        draw(tmp_path / "test" / f"{value}.png", value)
    for part in ("train", "test"):
        table = "id,label\n0,cat\n1,cat\n10,dog\n11,dog\n"
        (tmp_path / place.replace("train", part)).write_text(table)
    assert seen(tmp_path) == {"train": PAIR, "test": PAIR}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("filename,label\n0.png,cat\n2.png,dog\n", r"names 2\.png in line 3, which is not there"),
        ("filename,label\n0.png\n", "has 1 values in line 2; give 2"),
        ("a,b\n0.png,cat\n", "has columns a, b; name two of them file and label"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, table: str, message: str) -> None:
    """The error names the table and the line."""
    draw(tmp_path / "0.png", 0)
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        folders.read(tmp_path)


def test_a_folder_without_labelled_pictures_is_none(tmp_path: Path) -> None:
    """A folder of unlabelled pictures, or of no pictures, is left to other readers."""
    assert folders.read(tmp_path) is None
    draw(tmp_path / "0.png", 0)
    (tmp_path / "empty").mkdir()
    assert folders.read(tmp_path) is None


def test_order_is_that_of_names(tmp_path: Path) -> None:
    """Pictures come in the order of their names on every file system."""
    for number in (2, 0, 1):
        draw(tmp_path / "a" / f"{number}.png", number)
    found = folders.read(tmp_path)
    assert found
    np.testing.assert_array_equal(found.parts["whole"][0][:, 0, 0], [0, 1, 2])


def test_a_refusal_is_one_whole_line(tmp_path: Path) -> None:
    """The path of the table comes first, and the remedy last."""
    draw(tmp_path / "0.png", 0)
    table = tmp_path / "labels.csv"
    for content, words in (
        (
            "filename,label\n0.png,cat\n2.png,dog\n",
            "names 2.png in line 3, which is not there; add it",
        ),
        ("filename,label\n0.png,cat\n0.png,a,b\n", "has 3 values in line 3; give 2"),
        ("a,b\n0.png,cat\n", "has columns a, b; name two of them file and label"),
        ("", "has columns of no name; name two of them file and label"),
    ):
        table.write_text(content)
        with pytest.raises(UserError) as refused:
            folders.read(tmp_path)
        assert str(refused.value) == f"{table} {words}"
    table.write_bytes(b"file,label\n\xff\xfe,cat\n")
    with pytest.raises(UserError, match=f"^{table} is no table: 'utf-8' .*; give file and label$"):
        folders.read(tmp_path)
    table.write_text("file,label\n0.png,\n")
    with pytest.raises(UserError, match=f"^{tmp_path} has an example without a label; "):
        folders.read(tmp_path)


def test_the_folder_is_the_source_of_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages on all of them together name it."""
    classes(tmp_path, ["cat"])
    paths = [tmp_path / "cat" / f"{number}.png" for number in range(2)]

    def read(*given: object) -> object:
        assert given == (tmp_path, paths)
        return np.zeros((2, 4, 4), np.uint8)

    monkeypatch.setattr(pictures, "read", read)
    assert seen(tmp_path) == {"whole": [("cat", 0), ("cat", 0)]}


def test_why_pictures_are_not_read_is_one_whole_line(tmp_path: Path) -> None:
    """Another format counts more than a lack of classes; without pictures nothing is said."""

    def refused() -> str:
        with pytest.raises(UserError) as error:
            folders.refuse_unlabelled(tmp_path)
        return str(error.value).removeprefix(f"{tmp_path} has pictures such as {tmp_path}/")

    (tmp_path / "notes.txt").touch()
    folders.refuse_unlabelled(tmp_path)
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, 0)
    assert refused() == (
        "a.png, but nothing tells their classes; give a folder for each class, or labels.csv with "
        "the columns file and label"
    )
    (tmp_path / "c.JXL").touch()
    assert refused() == "c.JXL, whose format is not read; save them as PNG"


def test_a_part_without_labels_is_said_in_one_line(tmp_path: Path) -> None:
    """The note names a picture; the folder is read all the same, and is sorted."""
    classes(tmp_path / "train", ["cat"])
    draw(tmp_path / "test" / "0.png", 1)
    found = folders.read(tmp_path)
    assert found
    assert found.notes == (
        f"pictures that are not used: 1, such as {tmp_path / 'test' / '0.png'}: no folder or table "
        "gives their class",
    )
    assert found.is_sorted


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the system's error is named, or else the folder."""
    with pytest.raises(UserError) as refused:
        folders.read(tmp_path / "missing")
    assert str(refused.value) == (
        f"cannot read {tmp_path / 'missing'}: No such file or directory; give a readable file"
    )

    def refuse(folder: Path) -> None:
        raise OSError("odd")

    monkeypatch.setattr(folders, "_labelled", refuse)
    with pytest.raises(UserError) as refused:
        folders.read(tmp_path)
    assert str(refused.value) == f"cannot read {tmp_path}: odd; give a readable file"


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["file", "label"], folders.Columns(0, 1, None)),
        (["Label ", " FileName"], folders.Columns(1, 0, None)),
        (["id", "class", "split"], folders.Columns(0, 1, 2)),
        (["id", "image", "class"], folders.Columns(1, 2, None)),
        (["image_id", "category", "usage"], folders.Columns(0, 1, 2)),
        (["file", "label", *"abcdefghijklm"], folders.Columns(0, 1, None)),
        (["file", "label", *"abcdefghijklmn"], None),
        (["file", "width"], None),
        (["width", "label"], None),
        ([], None),
    ],
)
def test_columns_are_known_by_their_names(
    names: list[str], columns: folders.Columns | None
) -> None:
    """In any case and order, with a number instead of a file; many columns are pixels."""
    assert folders.columns(names) == columns


def test_a_table_beside_pictures_may_have_any_name(tmp_path: Path) -> None:
    """The only table of files and labels is taken; of two neither is, and none without pictures."""
    table = "file,label\n0.png,cat\n"
    (tmp_path / "any.csv").write_text(table)
    (tmp_path / "sizes.csv").write_text("width\n4\n")
    (tmp_path / "empty.csv").touch()
    assert folders.read(tmp_path) is None
    draw(tmp_path / "deeper" / "0.png", 6)
    assert seen(tmp_path) == {"whole": [("cat", 6)]}
    (tmp_path / "deeper" / "0.png").unlink()
    draw(tmp_path / "0.png", 7)
    assert seen(tmp_path) == {"whole": [("cat", 7)]}
    (tmp_path / "other.csv").write_text(table)
    assert folders.read(tmp_path) is None
    (tmp_path / "labels.csv").write_text(table.replace("cat", " dog "))
    assert seen(tmp_path) == {"whole": [("dog", 7)]}


def test_a_part_of_a_table_that_is_none_is_for_training(tmp_path: Path) -> None:
    """A split called otherwise is for training; empty lines are none."""
    for value in (0, 1):
        draw(tmp_path / f"{value}.png", value)
    (tmp_path / "labels.csv").write_text("file,label,split\n\n0.png,cat,first\n\n1.png,dog,test\n")
    assert seen(tmp_path) == {"train": [("cat", 0)], "test": [("dog", 1)]}


def test_a_picture_is_found_by_its_path_before_its_name(tmp_path: Path) -> None:
    """Of two of one name, the path tells; of a single one the name is enough."""
    draw(tmp_path / "a" / "0.png", 1)
    draw(tmp_path / "b" / "0.png", 2)
    draw(tmp_path / "b" / "1.png", 3)
    (tmp_path / "labels.csv").write_text("file,label\nb/0.png,x\na/0.png,y\nfar/off/1,z\n")
    assert seen(tmp_path) == {"whole": [("x", 2), ("y", 1), ("z", 3)]}
