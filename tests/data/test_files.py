import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy import io

from lenet_multi.data import files
from lenet_multi.data.found import Found
from lenet_multi.errors import UserError
from tests.data.test_idx_folder import write as write_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16), dtype=np.uint8)
LABELS = np.arange(6, dtype=np.uint8) % 3


def write(path: Path) -> None:
    """Write the images and labels as the kind of file that the path's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"label": LABELS} | {f"p{index}": IMAGES[:, index] for index in range(16)}
    match path.suffix:
        case ".npz":
            np.savez(path, x=IMAGES, y=LABELS)
        case ".csv":
            pairs = zip(*columns.values(), strict=True)
            rows = [",".join(columns), *(",".join(map(str, row)) for row in pairs)]
            path.write_text("\n".join(rows))
        case ".mat":
            io.savemat(path, {"X": IMAGES, "y": LABELS[:, np.newaxis]})
        case ".h5" | ".hdf5":
            with h5py.File(path, "w") as file:
                file["x"], file["y"] = IMAGES, LABELS
        case ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.table(columns), path)


def read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what is read at a path, which must be something."""
    found = files.read(path)
    assert found
    return found.parts


KINDS = (".npz", ".csv", ".mat", ".h5", ".hdf5", ".parquet")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("stem", "part"), [("digits", "whole"), ("mnist_test", "test"), ("Train", "train")]
)
def test_each_kind_of_file_is_read(tmp_path: Path, kind: str, stem: str, part: str) -> None:
    """A file of each kind gives the same arrays, as the part that its name has."""
    write(tmp_path / f"{stem}{kind}")
    ((found, (images, labels)),) = read(tmp_path / f"{stem}{kind}").items()
    assert found == part
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels.ravel(), LABELS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_has_a_file_for_each_part(tmp_path: Path, kind: str) -> None:
    """Files whose names have a part are the parts; others in the folder are left alone."""
    for stem in ("train", "val", "test", "sample"):
        write(tmp_path / f"{stem}{kind}")
    assert set(read(tmp_path)) == {"train", "validation", "test"}


def test_what_kaggle_gives_is_read(tmp_path: Path) -> None:
    """The images of test.csv have no labels: train.csv alone is read, and it is said."""
    write(tmp_path / "train.csv")
    names = [f"p{index}" for index in range(16)]
    (tmp_path / "test.csv").write_text(",".join(names) + "\n" + ",".join("1" * 16))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    found = files.read(tmp_path)
    assert found
    assert set(found.parts) == {"train"}
    assert "also holds sample_submission.csv" in found.notes[0]
    assert "test.csv has no labels" in found.notes[1]


def test_a_part_may_be_in_pieces(tmp_path: Path) -> None:
    """Pieces that differ by their numbers are put together in order."""
    for piece in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        write(tmp_path / f"{piece}.parquet")
    images, labels = read(tmp_path)["train"]
    np.testing.assert_array_equal(images, np.concatenate([IMAGES, IMAGES]))
    np.testing.assert_array_equal(labels, np.concatenate([LABELS, LABELS]))
    for piece in ("train-9-of-10", "train-10-of-10"):
        write(tmp_path / "of other lengths" / f"{piece}.npz")
    images, labels = read(tmp_path / "of other lengths")["train"]
    assert len(images) == len(labels) == 12


def test_pairs_of_arrays_lie_in_a_folder(tmp_path: Path) -> None:
    """A folder of .npy files is read by their names; a pickled one is refused."""
    for part in ("train", "test"):
        np.save(tmp_path / f"x_{part}.npy", IMAGES)
        np.save(tmp_path / f"y_{part}.npy", LABELS)
    images, labels = read(tmp_path)["test"]
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    with pytest.raises(UserError, match=r"x_test\.npy is one array; give its folder"):
        files.read(tmp_path / "x_test.npy")
    np.save(tmp_path / "x_test.npy", np.array([{}], object))
    with pytest.raises(UserError, match=r"x_test\.npy is no \.npy of a plain array: Object arrays"):
        files.read(tmp_path)


def test_a_set_among_several_has_a_place(tmp_path: Path) -> None:
    """FOLDER/NAME is the set of IDX files whose names begin so."""
    folder = tmp_path / "here"

    def write_set(name: str) -> None:
        for part in ("train", "test"):
            write_idx(folder / f"{name}-{part}-images-idx3-ubyte", IMAGES.reshape(6, 4, 4))
            write_idx(folder / f"{name}-{part}-labels-idx1-ubyte", LABELS)

    for name in ("emnist-letters", "emnist-digits"):
        write_set(name)
    for place in (folder, tmp_path):
        with pytest.raises(UserError) as refused:
            files.read(place)
        assert str(refused.value) == (
            f"{place} holds several sets; give one of them: {folder}/emnist-digits, "
            f"{folder}/emnist-letters"
        )
    assert set(read(folder / "emnist-letters")) == {"train", "test"}
    assert files.read(folder / "emnist") is None
    write_set("raw/emnist-letters")
    with pytest.raises(UserError, match=f"^{folder}/emnist-letters holds several sets; "):
        files.read(folder / "emnist-letters")


def test_a_set_may_lie_deeper(tmp_path: Path) -> None:
    """Torchvision's ROOT/MNIST/raw is found from ROOT, from MNIST and from raw."""
    for part in ("train", "t10k"):
        raw = tmp_path / "MNIST" / "raw"
        write_idx(raw / f"{part}-images-idx3-ubyte", IMAGES.reshape(6, 4, 4))
        write_idx(raw / f"{part}-labels-idx1-ubyte", LABELS)
    for place in ("", "MNIST", "MNIST/raw"):
        assert set(read(tmp_path / place)) == {"train", "test"}


def test_a_folder_of_pictures_is_read(tmp_path: Path) -> None:
    """Without IDX and .npy files, folders of classes are read, one folder deeper too."""
    for name in ("cat", "dog"):
        (tmp_path / "archive" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "archive" / name / "0.png")
    for place in ("", "archive"):
        assert list(read(tmp_path / place)["whole"][1]) == ["cat", "dog"]


def test_a_folder_may_lie_beside_a_readme(tmp_path: Path) -> None:
    """Of one folder beside files that are no data, the folder is read."""
    for name in ("cat", "dog"):
        for part in ("train", "test"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            Image.new("L", (4, 4)).save(tmp_path / "pets" / part / name / "0.png")
    for name in ("README.md", "LICENSE", ".DS_Store"):
        (tmp_path / name).write_text("x")
    (tmp_path / "__MACOSX").mkdir()
    assert set(read(tmp_path)) == {"train", "test"}


def test_pictures_that_are_not_read_are_named_with_the_remedy(tmp_path: Path) -> None:
    """A folder of a telephone's pictures is refused with the format to save them in."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.HEIC").write_bytes(b"x")
    with pytest.raises(UserError, match=r"has pictures such as .*/cat/0\.HEIC, whose format is n"):
        files.read(tmp_path)


def test_pictures_without_classes_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """Of a flat folder the error does not list the files but says how to tell the classes."""
    for number in range(3):
        Image.new("L", (4, 4)).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match=r"such as .*/0\.png, but nothing tells .* or labels\.csv"):
        files.read(tmp_path)


def test_a_file_of_another_kind_is_there(tmp_path: Path) -> None:
    """The error says that the file exists, which kinds are read, and one line that converts."""
    for name in ("usps.pkl", "digits.xyz", "digits"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(
            UserError, match=r"is there, but no kind that is read: \.npz, "
        ) as found:
            files.read(tmp_path / name)
        assert "numpy.savez(" in str(found.value)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds nothing, no data that are read; give IDX files"),
        (("notes.txt",), "holds notes.txt, no data"),
        (("a.csv", "b.csv"), "holds a.csv, b.csv; give one of them"),
        (("train.csv", "test.mat"), "leave files of one kind there"),
        (("emnist-letters-train.csv", "emnist-digits-train.csv"), "holds several sets"),
    ],
)
def test_a_folder_that_is_not_understood_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    """The error lists what the folder holds."""
    for name in names:
        write(tmp_path / name)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=message):
        files.read(tmp_path)


def test_pieces_of_two_shapes_are_refused(tmp_path: Path) -> None:
    """Pieces whose images differ in shape are not put together."""
    write(tmp_path / "train-0.npz")
    np.savez(tmp_path / "train-1.npz", x=IMAGES[:, :9], y=LABELS)
    with pytest.raises(UserError) as refused:
        files.read(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: the images of its files differ in shape; make them alike"
    )


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    """A path to nothing gives None, and the caller says what it may be."""
    assert files.read(tmp_path / "nothing") is None
    assert files.read(tmp_path / "nothing" / "here.npz") is None


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.mat", "folder/x.npy", "folder/labels.csv"])
def test_a_pipe_is_not_read(tmp_path: Path, name: str) -> None:
    """Reading a pipe, or a device such as /dev/zero, would never end."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / name)
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    Image.new("L", (4, 4)).save(tmp_path / "folder" / "0.png")
    place = tmp_path / name.partition("/")[0]
    message = "is neither a file nor a folder" if place.suffix else "nothing tells their classes"
    with pytest.raises(UserError, match=message):
        files.read(place)
    with pytest.raises(UserError, match="is neither a file nor a folder"):
        files.read(tmp_path / "zero.csv")


def test_folders_in_folders_have_an_end(tmp_path: Path) -> None:
    """An archive may unpack into eight folders in folders; what lies deeper is not read."""
    for depth in (8, 9):
        inner = tmp_path / f"{depth}" / "/".join("a" * depth)
        inner.mkdir(parents=True)
        write(inner / "train.npz")
    assert set(read(tmp_path / "8")) == {"train"}
    with pytest.raises(UserError, match="holds a, no data that are read"):
        files.read(tmp_path / "9")


def test_a_refusal_is_one_whole_line(tmp_path: Path) -> None:
    """It has the path, what is there, and every way to give the data."""
    (tmp_path / "a.xyz").touch()
    np.save(tmp_path / "x.npy", IMAGES)
    kinds = (
        ".npz, .csv, .mat, .h5, .parquet, or a folder of IDX files, of .npy files, of a folder of "
        "pictures for each class, or of pictures with labels.csv"
    )
    convert = "python -c \"import numpy; numpy.savez('data.npz', x_train=..., y_train=...)\""
    folder = tmp_path / "folder"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "notes").mkdir()
    for path, words in (
        (
            tmp_path / "a.xyz",
            f"is there, but no kind that is read: {kinds}; save its arrays with {convert}",
        ),
        (
            tmp_path / "x.npy",
            "is one array; give its folder, with images and labels named as x_train.npy and "
            "y_train.npy",
        ),
        (
            folder / "deep",
            "holds deeper, notes, no data that are read; give IDX files such as "
            f"train-images-idx3-ubyte, or {kinds}",
        ),
        (
            folder / "deep" / "deeper",
            "holds nothing, no data that are read; give IDX files such as "
            f"train-images-idx3-ubyte, or {kinds}",
        ),
    ):
        with pytest.raises(UserError) as refused:
            files.read(path)
        assert str(refused.value) == f"{path} {words}"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("b.csv", "a.csv"), "holds a.csv, b.csv; give one of them"),
        (("train.csv", "test.h5"), "holds test.h5, train.csv; leave files of one kind there"),
        (
            ("b-train.csv", "a-train.csv"),
            "holds several sets: a-train.csv, b-train.csv; give one of them",
        ),
    ],
)
def test_a_folder_of_tables_that_is_refused_is_one_whole_line(
    tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    """Its files come in the order of their names."""
    for name in names:
        write(tmp_path / name)
    with pytest.raises(UserError) as refused:
        files.read(tmp_path)
    assert str(refused.value) == f"{tmp_path} {words}"


def test_what_lies_beside_is_said(tmp_path: Path) -> None:
    """Tables without a part beside those with one, and other files beside the only table."""
    for name in ("train.csv", "b.csv", "a.h5"):
        write(tmp_path / "parts" / name)
    found = files.read(tmp_path / "parts")
    assert found
    assert found.notes == (f"{tmp_path / 'parts'} also holds a.h5, b.csv; only its parts are used",)
    write(tmp_path / "one" / "a.H5".lower())
    found = files.read(tmp_path / "one")
    assert found
    assert found.notes == ()
    (tmp_path / "one" / "README").touch()
    found = files.read(tmp_path / "one")
    assert found
    assert found.notes == (f"{tmp_path / 'one' / 'a.h5'} is read, not what lies beside it",)


def test_an_ending_may_be_in_upper_case(tmp_path: Path) -> None:
    """A file of another system is of the same kind."""
    write(tmp_path / "a.npz")
    (tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    assert set(read(tmp_path / "A.NPZ")) == {"whole"}
    assert set(read(tmp_path)) == {"whole"}


def test_a_folder_in_a_folder_is_the_only_one(tmp_path: Path) -> None:
    """An archive unpacks into one folder, maybe beside a README; of two, none is searched."""
    write(tmp_path / "Xarchive" / "a.npz")
    assert set(read(tmp_path)) == {"whole"}
    (tmp_path / "README").touch()
    assert set(read(tmp_path)) == {"whole"}
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="holds README, Xarchive, other, no data"):
        files.read(tmp_path)


def test_names_of_classes_stay_where_all_pieces_have_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pieces that name their classes differently have no names together; notes are kept."""
    pair = (IMAGES, LABELS)
    for second, kept in ((("a", "b"), ("a", "b")), (("b", "a"), None), (None, None)):
        several = [
            Found({"train": pair}, ("one",), class_names=("a", "b")),
            Found({"train": pair}, ("two",), class_names=second),
        ]
        found = files._joined(tmp_path, several)
        assert (found.class_names, found.notes) == (kept, ("one", "two"))
        assert len(found.parts["train"][0]) == 12
    assert files._together([IMAGES]) is IMAGES


def test_a_file_that_the_system_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error has the system's words."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "_of_folder", refuse)
    with pytest.raises(UserError) as refused:
        files.read(tmp_path)
    assert str(refused.value) == f"cannot read {tmp_path}: Permission denied; give a readable file"
