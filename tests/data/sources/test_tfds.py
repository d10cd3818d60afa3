import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.examples import Dataset
from lenet_multi.data.sources import tfds
from lenet_multi.errors import UserError
from lenet_multi.lenet import image_sets
from lenet_multi.machine import extras


class NotFoundError(Exception):
    """The library's error for a set that it does not know."""


class Grey:
    """A feature of images."""


class Labels:
    """A feature of labels."""

    names = ("cat", "dog")


ROWS = [{"number": 7, "picture": np.full((2, 3, 1), 9, np.uint8), "label": 1}]


class Builder:
    """The only set."""

    data_path = "/data/pets"

    def __init__(self, asked: list[object]) -> None:
        self.asked = asked
        self.prepared = True
        self.rows = ROWS
        self.error: Exception | None = None
        self.info = SimpleNamespace(
            splits=["train", "test", "extra"],
            features={"number": 0, "picture": Grey(), "label": Labels()},
            file_format=SimpleNamespace(value="riegeli"),
        )

    def is_prepared(self) -> bool:
        """Return whether it is there."""
        return self.prepared

    def as_data_source(self, *, split: str) -> list[dict[str, Any]]:
        """Return the rows, or raise the error."""
        self.asked.append(split)
        if self.error:
            raise self.error
        return self.rows


class Library:
    """Stands for the library, and notes what it is asked."""

    features = SimpleNamespace(Image=Grey, ClassLabel=Labels)
    core = SimpleNamespace(
        constants=SimpleNamespace(DATA_DIR="/default"),
        registered=SimpleNamespace(DatasetNotFoundError=NotFoundError),
    )

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.of_set = Builder(self.asked)
        self.error: Exception | None = None

    def builder(self, *given: str, **options: object) -> Builder:
        """Return the set, or raise the error."""
        self.asked.append((given, options))
        if self.error:
            raise self.error
        return self.of_set


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """What stands for the library, where that is looked for."""
    fake = Library()
    logging = SimpleNamespace(ERROR="errors alone", set_verbosity=fake.asked.append)
    known: Any = {("tensorflow_datasets", "tfds"): fake, ("absl.logging", "tfds"): logging}
    monkeypatch.setattr(extras, "require", lambda *given: known[given])
    monkeypatch.setenv("TFDS_DATA_DIR", "")
    return fake


@pytest.mark.parametrize("folder", ["", "/mine"])
def test_a_set_is_asked_for_where_it_may_be(
    folder: str, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the user's folder or the library's, and nowhere else; the library is silent."""
    monkeypatch.setenv("TFDS_DATA_DIR", folder)
    pairs, names = tfds.read("pets/plain")
    assert names == ["cat", "dog"]
    assert list(pairs) == ["train", "test"]
    images, labels = pairs["test"]
    np.testing.assert_array_equal(images, [ROWS[0]["picture"]])
    assert labels.tolist() == [1]
    options = {"data_dir": Path(folder or "/default"), "try_gcs": False}
    assert library.asked == ["errors alone", (("pets/plain",), options), "train", "test"]


def refused(name: str = "pets") -> str:
    """Return the message for a set."""
    with pytest.raises(UserError) as error:
        tfds.read(name)
    return str(error.value)


def test_a_refusal_is_one_whole_line(library: Library) -> None:
    """It says where the set is, and how to prepare it."""
    prepare = (
        'prepare it, which needs TensorFlow, with: python -c "import tensorflow_datasets; '
        "tensorflow_datasets.builder('pets').download_and_prepare(file_format='array_record')\""
    )
    of_set = library.of_set
    of_set.error = NotImplementedError()
    assert refused() == (
        f"it is stored as riegeli, which only TensorFlow can read; delete /data/pets and {prepare}"
    )
    of_set.error = OSError("it is odd")
    assert refused() == "TensorFlow Datasets cannot read it: it is odd; prepare it again"
    of_set.error, of_set.rows = None, [*ROWS, {**ROWS[0], "picture": np.zeros((4, 5, 1))}]
    assert refused() == (
        "the images of its split train differ in shape: number 1 is 4x5x1, the first 2x3x1; make "
        "them alike first"
    )
    of_set.info.features = {"label": Labels()}
    assert refused() == "it must have a column of type Grey, but has label (Labels)"
    of_set.prepared = False
    assert refused() == f"it is not at /data/pets (see TFDS_DATA_DIR); {prepare}"


def test_a_set_that_is_unknown_is_one_whole_line(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known are those in the folder, and those that the library's error lists."""
    text = "Not found. Known are:\n\t- cars\n\t- mnist\n\t- in two words\nor - others\n"
    library.error = NotFoundError(text)
    assert refused() == "unknown data set 'pets'; choose from cars, mnist"
    (tmp_path / "digits").mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert refused() == "unknown data set 'pets'; choose from digits, cars, mnist"
    library.error = ValueError("it is odd")
    assert refused() == "TensorFlow Datasets lacks it: it is odd; choose another data set"


# The library itself writes these data sets, as its users would. That needs TensorFlow.
PREPARE = """
import io, sys
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

arrays = np.load(sys.argv[1])
grey, digit = tfds.features.Image(shape=(None, None, 1)), tfds.features.ClassLabel(num_classes=10)

def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    file.seek(0)
    return file

def examples(split, count, shrunk=0):
    images, labels = arrays[f"x_{split}"][:count, ..., 0], arrays[f"y_{split}"]
    for index, (image, label) in enumerate(zip(images, labels)):
        yield index, {"image": png(image[:-1] if shrunk and index == shrunk else image),
                      "label": int(label)}

def store(name, splits, file_format="array_record", features=None):
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name, version="1.0.0", split_datasets=splits, file_format=file_format,
        features=tfds.features.FeaturesDict(features or {"image": grey, "label": digit}),
        disable_shuffling=True, config="plain",
    )

store("digits", {"train": examples("train", 30), "test": examples("test", 20)})
store("untested", {"extra": examples("train", 3), "other": examples("test", 3)})
store("validated", {"train": examples("train", 30), "test": examples("test", 20),
                    "validation": examples("test", 5)})
store("uneven", {"train": examples("train", 9, shrunk=7), "test": examples("test", 3)})
store("records", {"train": examples("train", 3), "test": examples("test", 3)}, "tfrecord")
pets = tfds.features.ClassLabel(names=["owl", "cat", "dog"])
labelled = {"image": grey, "label": pets}
few = {split: ((i, {**one, "label": i % 3}) for i, one in examples(split, 6))
       for split in ("train", "test")}
store("pets", few, features=labelled)
numbers = {"train": [(0, {"label": 1})], "test": [(0, {"label": 1})]}
store("blind", numbers, features={"label": digit})
"""


@pytest.fixture(scope="module")
def prepared(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's data folder, with one good data set and several bad ones."""
    folder = tmp_path_factory.mktemp("tfds")
    subprocess.run(
        [sys.executable, "-c", PREPARE, str(small_npz)],
        env={**os.environ, "TFDS_DATA_DIR": str(folder)},
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def folder(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, set as the one where the library looks."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    return prepared


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["digits", "digits/plain:1.0.0"])
def test_a_prepared_data_set_loads(name: str, small: Dataset) -> None:
    """A prepared data set gives its original images, by name or by name, config and version."""
    dataset = image_sets.load(f"tfds:{name}")
    assert dataset.sha256() == Dataset(small.train[:30], small.test[:20]).sha256()


@pytest.mark.usefixtures("folder")
def test_a_validation_split_validates(small: Dataset) -> None:
    """A set's own validation split is not passed over."""
    dataset = image_sets.load("tfds:validated")
    assert dataset.validation
    assert dataset.validation.y.tolist() == small.test.y[:5].tolist()
    assert len(dataset.train) == 30


@pytest.mark.usefixtures("folder")
def test_names_of_classes_come_along() -> None:
    """The names of the label feature pass from the second process."""
    dataset = image_sets.load("tfds:pets", classes=3)
    assert dataset.class_names == ("owl", "cat", "dog")
    assert image_sets.load("tfds:digits").class_names == tuple("0123456789")


def test_reading_imports_no_backend(folder: Path) -> None:
    """Reading imports the library, but no backend."""
    code = (
        "import sys; from lenet_multi.data.sources import tfds; tfds.read('digits');"
        "print(*{'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == done.stderr == ""


@pytest.mark.threads
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digitz", "unknown data set 'digitz'; did you mean 'digits'?"),
        ("fashion_mnits", "did you mean 'fashion_mnist'?"),
        ("xyzzy", "known is like it"),
        ("a b", "lacks it: Parsing builder name string a b failed"),
        ("mnist", r"it is not at .*mnist/3.0.1 .*builder\('mnist'\).download_and_prepare"),
        ("untested", "it must have a split train or test, but has extra, other"),
        ("uneven", "the images of its split train differ in shape: number 7 is 27x28x1"),
        ("blind", r"it must have a column of type Image, but has label \(ClassLabel\)"),
        ("records", "stored as tfrecord, which only TensorFlow can read"),
    ],
    ids=lambda value: value.split()[0],
)
def test_what_cannot_be_read_is_told(name: str, message: str) -> None:
    """The error names the fault, and the nearest name or the line that prepares the set."""
    with pytest.raises(UserError, match=message):
        tfds.read(name)


@pytest.mark.threads
def test_a_damaged_data_set_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error for a damaged data set is one line with the library's reason."""
    shutil.copytree(folder, tmp_path / "data")
    for path in tmp_path.glob("data/digits/plain/1.0.0/*.array_record*"):
        path.write_bytes(path.read_bytes()[:50])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(UserError, match="TensorFlow Datasets cannot read it: ") as refused:
        tfds.read("digits")
    assert "\n" not in str(refused.value)


def test_a_missing_library_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the library is missing, the error gives the command that installs it."""
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"pip install 'lenet-multi\[tfds\]'"):
        tfds.read("mnist")
