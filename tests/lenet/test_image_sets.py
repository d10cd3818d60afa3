import gzip
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lenet_multi.config import DATA_SOURCES, TrainConfig
from lenet_multi.data.examples import Dataset, split
from lenet_multi.data.sources import reader
from lenet_multi.errors import UserError
from lenet_multi.lenet.image_sets import PACKAGED_MNIST, load, load_test

# Hashes of the unpacked original files, as published with them.
ORIGINAL_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.mark.parametrize("name", ORIGINAL_SHA256)
def test_packaged_bytes_are_the_originals(name: str) -> None:
    """Each packaged file unpacks to the bytes that its authors published."""
    content = gzip.decompress((PACKAGED_MNIST / f"{name}.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == ORIGINAL_SHA256[name]


def test_loaded_arrays_are_the_originals_bytes(mnist: Dataset) -> None:
    """After their headers (16 or 8 bytes), the original files hold the arrays that load returns."""
    arrays = [mnist.train.x, mnist.train.y, mnist.test.x, mnist.test.y]
    for name, array in zip(ORIGINAL_SHA256, arrays, strict=True):
        content = gzip.decompress((PACKAGED_MNIST / f"{name}.gz").read_bytes())
        assert content[16 if "images" in name else 8 :] == array.tobytes()


def test_mnist_has_its_counts_and_shapes(mnist: Dataset) -> None:
    """MNIST has 60,000 training and 10,000 test images of 28x28x1 bytes, and ten classes."""
    assert mnist.train.x.shape == (60_000, 28, 28, 1)
    assert mnist.test.x.shape == (10_000, 28, 28, 1)
    assert mnist.train.x.dtype == mnist.train.y.dtype == np.uint8
    assert set(mnist.test.y) == set(range(10))


def test_mnist_loads_fast() -> None:
    """Decoding takes under 0.5 s, best of five (measured 0.19 s on a quiet machine)."""
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        load()
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.5


def test_a_folder_of_idx_files_loads_plain_or_packed(tmp_path: Path, mnist: Dataset) -> None:
    """The original files in a folder, two of them unpacked, give the packaged MNIST."""
    for index, name in enumerate(ORIGINAL_SHA256):
        packed = (PACKAGED_MNIST / f"{name}.gz").read_bytes()
        if index % 2:
            (tmp_path / f"{name}.gz").write_bytes(packed)
        else:
            (tmp_path / name).write_bytes(gzip.decompress(packed))
    assert load(str(tmp_path)).sha256() == mnist.sha256()


def test_an_npz_loads(small_npz: Path, small: Dataset) -> None:
    """An .npz in the layout of Keras's mnist.npz gives its arrays."""
    assert load(str(small_npz)).sha256() == small.sha256()


def arrays(**changes: Any) -> dict[str, Any]:
    """Return the four arrays of a good tiny .npz, with changes."""
    good = {
        "x_train": np.zeros((4, 28, 28), np.uint8),
        "y_train": np.arange(4),
        "x_test": np.zeros((2, 28, 28), np.uint8),
        "y_test": np.arange(2),
    }
    return {**good, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 1, 2, 10])}, "labels run from 0 to 10"),
        ({"y_test": np.array([-1, 0])}, "from -1 to 0, outside 0 to 9; give labels from 0$"),
        ({"y_train": np.arange(3)}, "4 images but 3 labels"),
        ({"y_train": np.full(4, 0.5)}, "labels must be integers"),
        ({"x_train": np.full((4, 28, 28), 999.0)}, "pixels run from 0 to 999"),
        ({"x_train": np.zeros((4, 783), np.uint8)}, "3 or 4 axes, .* not the shape 4x783"),
        ({"y_train": np.array([1, 2, 3, 10])}, "outside 0 to 9; give --classes 11"),
        ({"y_train": np.array([1, 2, 3, 299])}, "outside 0 to 9; give labels below 256, the most"),
        ({"y_train": np.array([1, 2, 3, 256])}, "0 to 9; give labels below 256, the most classes$"),
        ({"x_test": np.zeros((2, 27, 28), np.uint8)}, "differ in shape"),
        ({"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.arange(0)}, "no images"),
        ({"x_test": np.zeros((2, 28, 28, 0), np.uint8)}, "no pixels"),
        ({"x_test": np.array([{}, {}], dtype=object)}, "no .npz of plain arrays"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The error names the fault of the data; pickled objects are never loaded."""
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays(**changes))
    for read in (load, load_test):
        with pytest.raises(UserError, match=rf"^{path}.*{message}"):
            read(str(path))


def test_labels_in_a_column_load(tmp_path: Path) -> None:
    """Labels of shape (N, 1), as in CIFAR, equal labels of shape (N,)."""
    np.savez(tmp_path / "flat.npz", **arrays())
    np.savez(tmp_path / "column.npz", **arrays(y_train=np.arange(4)[:, np.newaxis]))
    flat, column = (load(str(tmp_path / name)) for name in ("flat.npz", "column.npz"))
    assert column.sha256() == flat.sha256()


def test_an_npz_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    """The error names the array, and lists once the names that are read."""
    np.savez(tmp_path / "half.npz", x_train=np.zeros((4, 28, 28), np.uint8))
    names = "name its arrays x_train, y_train, x_test and y_test"
    with pytest.raises(UserError, match=f"has x_train but not its labels; {names}"):
        load(str(tmp_path / "half.npz"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x93NUMPY"])
def test_a_damaged_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bytes that are not an archive give one clear error."""
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.npz"):
        load(str(tmp_path / "bad.npz"))


def test_missing_data_is_refused_by_name(tmp_path: Path) -> None:
    """A missing path, and a folder without a required file, are named."""
    for name in ("nowhere", "no:where"):
        with pytest.raises(UserError) as refused:
            load(name)
        assert str(refused.value) == f"no data at {name!r}: give {DATA_SOURCES}"
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        load(str(tmp_path))
    with pytest.raises(UserError, match=r"nowhere\.npz"):
        load("nowhere.npz")


def test_mnist_is_as_it_was(mnist: Dataset) -> None:
    """The packaged MNIST is not shuffled, has no notes, and no byte of it is copied."""
    facts = (mnist.notes, mnist.is_sorted, mnist.held_out, mnist.validation, mnist.class_names)
    assert facts == ((), False, False, None, None)
    assert mnist.train.x.base is not None
    assert mnist.train.y.base is not None
    assert load_test().sha256() == mnist.sha256()


def test_a_validation_set_is_read(tmp_path: Path, small: Dataset) -> None:
    """MedMNIST's names give three sets, with labels in a column."""
    parts = {"train": small.train[:100], "val": small.train[100:130], "test": small.test[:20]}
    arrays = {f"{part}_images": one.x[..., 0] for part, one in parts.items()}
    arrays |= {f"{part}_labels": one.y[:, np.newaxis] for part, one in parts.items()}
    np.savez(tmp_path / "pathmnist.npz", **arrays)
    found = load(str(tmp_path / "pathmnist.npz"))
    assert found.validation
    for one, given in zip((found.train, found.validation, found.test), parts.values(), strict=True):
        np.testing.assert_array_equal(one.x, given.x)
        np.testing.assert_array_equal(one.y, given.y)
    assert not found.held_out


def twelve(folder: Path, names: Sequence[str], *, each: int = 4) -> str:
    """Make a folder of pictures for each name; the first row has as many white ones as its rank."""
    for index, name in enumerate(names):
        picture = np.zeros((16, 16), np.uint8)
        picture[0, :index] = 255
        for number in range(each):
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return str(folder)


def test_folders_of_classes_are_split_by_seed(tmp_path: Path) -> None:
    """Classes called 0 to 11 keep their numbers, and each of the three parts has all of them."""
    names = [str(index) for index in range(12)]
    source = twelve(tmp_path, names, each=20)
    found = load(source, classes=12)
    np.testing.assert_array_equal(found.train.x[:, 0].sum(axis=(1, 2)) // 255, found.train.y)
    assert found.held_out
    assert found.is_sorted
    assert any(note.startswith(f"{source} has no test images: ") for note in found.notes)
    assert found.class_names == tuple(names)
    assert load(source, classes=256).class_names is None
    training, validation = split(found, TrainConfig(validation_split=0.3))
    assert set(training.y) == set(validation.y) == set(range(12))


def test_a_table_without_labels_alone_is_refused(tmp_path: Path) -> None:
    """Kaggle's test.csv by itself has nothing to train on or to evaluate."""
    rows = [",".join(f"pixel{i}" for i in range(256)), ",".join(["0"] * 256)]
    (tmp_path / "test.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match=r"test\.csv has no labels; give data that have"):
        load(str(tmp_path / "test.csv"))


def test_folders_with_names_give_them(tmp_path: Path) -> None:
    """Other names are sorted as texts and kept."""
    found = load(twelve(tmp_path, ["fish", "cat", "dog"]))
    assert found.class_names == ("cat", "dog", "fish")
    assert set(found.train.y) == {0, 1, 2}
    with pytest.raises(UserError, match="labels run from 0 to 2, outside 0 to 1; give --classes 3"):
        load(str(tmp_path), classes=2)


def test_a_test_set_alone_is_for_evaluation(tmp_path: Path, small: Dataset) -> None:
    """Data without training images serve an evaluation, and training refuses them."""
    source = str(tmp_path / "only.npz")
    np.savez(source, x_test=small.test.x, y_test=small.test.y)
    found = load_test(source)
    np.testing.assert_array_equal(found.test.x, small.test.x)
    assert not len(found.train)
    with pytest.raises(UserError, match=r"only\.npz has no training images; give"):
        load(source)


def test_rows_and_columns_are_exchanged(tmp_path: Path, small: Dataset, small_npz: Path) -> None:
    """With transpose every image of every part has its rows and columns exchanged."""
    found = load(str(small_npz), transpose=True)
    for one, given in ((found.train, small.train), (found.test, small.test)):
        np.testing.assert_array_equal(one.x, given.x.transpose(0, 2, 1, 3))
        assert one.x.flags.c_contiguous


ADVICE = "EMNIST's own files have rows and columns exchanged; give --transpose, if these are so"


def test_emnists_files_are_known_by_name(tmp_path: Path, small: Dataset) -> None:
    """A note advises --transpose for files called EMNIST, unless it is given."""
    for name, is_advised in (
        ("emnist-letters.npz", True),
        ("kmnist.npz", False),
        ("somemnist.npz", False),
    ):
        np.savez(
            tmp_path / name,
            x_train=small.train.x,
            y_train=small.train.y,
            x_test=small.test.x,
            y_test=small.test.y,
        )
        source = str(tmp_path / name)
        assert (ADVICE in load(source).notes) is is_advised
        assert not load(source, transpose=True).notes


def test_a_library_is_asked_for_its_prefix_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library reads hf:NAME; only sets of hf: may be sorted, and names of classes are kept."""
    given = [np.full((4, 8, 8), 99, np.uint8), np.arange(4), np.full((2, 8, 8), 99, np.uint8)]
    asked = []

    def read(library: str, name: str) -> Any:
        asked.append((library, name))
        pairs = {"train": (given[0], given[1]), "test": (given[2], np.arange(2))}
        return pairs, ("b", "a", "d", "c")

    monkeypatch.setattr(reader, "read", read)
    found = [load(f"{library}:it") for library in ("hf", "tfds")]
    assert [one.is_sorted for one in found] == [True, False]
    assert [one.class_names for one in found] == [("b", "a", "d", "c")] * 2
    load("hf:it:of:mine")
    assert asked == [("hf", "it"), ("tfds", "it"), ("hf", "it:of:mine")]


def test_labels_that_a_library_keeps_secret_are_no_test(
    monkeypatch: pytest.MonkeyPatch, small: Dataset
) -> None:
    """A part whose labels are all -1 is left out and named; others are used."""
    secret = np.full(10, -1)
    pairs = {
        "train": (small.train.x[:20], small.train.y[:20]),
        "validation": (small.train.x[:10], small.train.y[:10]),
        "test": (small.test.x[:10], secret),
    }
    monkeypatch.setattr(reader, "read", lambda library, name: (pairs, None))
    found = load("hf:glue")
    note = "hf:glue keeps the labels of its test images secret (-1); they are not used"
    assert [one for one in found.notes if "secret" in one] == [note]
    assert (len(found.test), found.held_out) == (2, True)
    assert found.validation
    assert len(found.validation) == 10


def test_a_validation_set_alone_is_refused(monkeypatch: pytest.MonkeyPatch, small: Dataset) -> None:
    """Nothing trains on it, and nothing is tested."""
    pairs = {"validation": (small.train.x[:10], small.train.y[:10])}
    monkeypatch.setattr(reader, "read", lambda library, name: (pairs, None))
    words = "^hf:it has no labelled training or test images; give data that have$"
    with pytest.raises(UserError, match=words):
        load("hf:it")


def test_a_home_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_npz: Path, small: Dataset
) -> None:
    """A path may begin with ~, the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".keras" / "datasets").mkdir(parents=True)
    os.link(small_npz, tmp_path / ".keras" / "datasets" / "mnist.npz")
    for source in ("~/.keras/datasets/mnist.npz", "~/.keras/datasets"):
        assert load(source).sha256() == small.sha256()
