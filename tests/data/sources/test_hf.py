import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.data.sources import hf
from lenet_multi.errors import UserError
from lenet_multi.lenet import image_sets
from lenet_multi.machine import extras


class Labels:
    """A column of labels."""

    def __init__(self, *names: str) -> None:
        self.names = names


COLUMNS = {"number": object(), "picture": Image.new("L", (3, 2)), "label": Labels("cat", "dog")}


class Part:
    """A split of one picture."""

    features = COLUMNS

    def select_columns(self, names: list[str]) -> list[dict[str, Any]]:
        """Return the rows, with these columns alone."""
        row = {"number": 7, "picture": Image.new("L", (3, 2), 9), "label": 1}
        return [{name: row[name] for name in names}]


class Library:
    """Stands for the library, and notes what it is asked."""

    Image, ClassLabel = Image.Image, Labels
    config = SimpleNamespace(DATASETDICT_JSON_FILENAME="saved.json")

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.found: Any = {"train": Part(), "test": Part(), "extra": None}

    def disable_progress_bars(self) -> None:
        """Note that there are none."""
        self.asked.append("no bars")

    def load_from_disk(self, path: str) -> Any:
        """Return the splits."""
        self.asked.append(("from disk", path))
        return self.found

    def load_dataset(self, path: str) -> Any:
        """Return the splits."""
        self.asked.append(("by name", path))
        return self.found


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """What stands for the library, where that is looked for."""
    known = {("datasets", "huggingface"): Library()}
    monkeypatch.setattr(extras, "require", lambda *given: known[given])
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return known["datasets", "huggingface"]


def test_a_folder_is_loaded_as_it_was_made(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the library saved has a file of its own; bars of progress are for a terminal."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(hf, "_hub_answers", lambda: pytest.fail("the Hub is asked"))
    folder = tmp_path / "set"
    folder.mkdir()
    pairs, names = hf.read("~/set")
    assert names == ["cat", "dog"]
    assert list(pairs) == ["train", "test"]
    images, labels = pairs["test"]
    assert images.tolist() == [[[9, 9, 9], [9, 9, 9]]]
    assert labels.tolist() == [1]
    (folder / "saved.json").touch()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert hf.read("~/set")[1] == names
    place = str(folder)
    assert library.asked == ["no bars", ("by name", place), ("from disk", place)]


def test_a_refusal_is_one_whole_line(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy for a folder is another one; without a network, a set of before may be there."""
    library.found = {"extra": Part()}

    def refused(name: str) -> str:
        with pytest.raises(UserError) as error:
            hf.read(name)
        return str(error.value)

    assert refused(str(tmp_path)) == "it must have a split train or test, but has extra"
    library.found = None
    why = "Hugging Face's datasets cannot read it: 'NoneType' object is not iterable; "
    assert refused(str(tmp_path)) == f"{why}give another data set or folder"
    for answers, remedy in (
        (True, "give another data set or folder"),
        (False, "the Hub is not reached; give a folder, or a data set downloaded before"),
    ):
        monkeypatch.setattr(hf, "_hub_answers", lambda answers=answers: answers)
        assert refused("someone/digits") == f"{why}{remedy}"
        assert os.environ.get("HF_HUB_OFFLINE") == (None if answers else "1")


@pytest.mark.parametrize("endpoint", ["", "http://mirror"])
def test_the_hub_has_five_seconds(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own mirror is asked instead, if there is one; what is no address is none."""
    told: list[object] = []

    def urlopen(url: str, timeout: float) -> Any:
        told.append((url, timeout))
        return SimpleNamespace(close=lambda: told.append("closed"))

    with monkeypatch.context() as patch:
        patch.setattr(urllib.request, "urlopen", urlopen)
        patch.setenv("HF_ENDPOINT", endpoint)
        assert hf._hub_answers() is True
    assert told == [(endpoint or "https://huggingface.co", 5.0), "closed"]
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert hf._hub_answers() is False


def test_splits_name_their_classes_alike(library: Library) -> None:
    """The columns may have other names; the error has the first classes of both splits."""
    alike = {"train": COLUMNS, "test": {"kind": Labels("cat", "dog")}}
    assert hf._class_names(library, alike) == ["cat", "dog"]
    with pytest.raises(UserError) as refused:
        hf._class_names(library, {**alike, "validation": {"kind": Labels("dog", "cat")}})
    assert str(refused.value) == (
        "its split train names classes cat, dog, validation dog, cat; make them alike"
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_mode_is_grey_or_coloured(mode: str) -> None:
    """Transparency is left out; a palette is coloured."""
    found = hf._pixels(Image.new("L", (3, 2), 255).convert(mode))
    assert found.dtype == np.uint8
    assert found.shape == ((2, 3) if mode in ("1", "L", "LA") else (2, 3, 3))
    assert (found == 255).all()


def test_another_mode_is_refused() -> None:
    """The error names it."""
    with pytest.raises(UserError) as refused:
        hf._pixels(Image.new("I;16", (3, 2)))
    assert str(refused.value) == "its pictures have mode I;16; save them with 8 bits per channel"


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The library `datasets`, with its own cache, here and in child processes."""
    import datasets

    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def rows(datasets: Any, images: Examples, mode: str = "L") -> Any:
    """Return images and labels as one split of the library."""
    pictures = [Image.fromarray(image[..., 0]).convert(mode) for image in images.x]
    features = {"picture": datasets.Image(), "digit": datasets.ClassLabel(num_classes=10)}
    columns = {"picture": pictures, "digit": images.y.tolist()}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


@pytest.fixture
def few(small: Dataset) -> Dataset:
    """The first 20 training and 10 test images of MNIST."""
    return Dataset(small.train[:20], small.test[:10])


def test_a_saved_data_set_loads(datasets: Any, few: Dataset, tmp_path: Path) -> None:
    """A data set from `save_to_disk` gives its original images and labels."""
    splits = {"train": rows(datasets, few.train), "test": rows(datasets, few.test)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert image_sets.load(f"hf:{tmp_path / 'saved'}").sha256() == few.sha256()


def test_a_folder_of_tables_loads(datasets: Any, few: Dataset, tmp_path: Path) -> None:
    """A folder of Parquet files, laid out as on the Hub, loads too."""
    for split, images in {"train": few.train, "test": few.test}.items():
        rows(datasets, images).to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    pairs, names = hf.read(str(tmp_path))
    assert names == [*"0123456789"]
    np.testing.assert_array_equal(pairs["train"][0][..., np.newaxis], few.train.x)
    np.testing.assert_array_equal(pairs["test"][1], few.test.y)


@pytest.mark.parametrize("name", ["validation", "val", "dev"])
def test_a_sets_own_validation_split_validates(
    datasets: Any, few: Dataset, tmp_path: Path, name: str
) -> None:
    """A split of that name is the validation set; without a test split, some are held out."""
    splits = {"train": rows(datasets, few.train), name: rows(datasets, few.test)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    dataset = image_sets.load(f"hf:{tmp_path / 'saved'}")
    assert dataset.validation
    np.testing.assert_array_equal(dataset.validation.x, few.test.x)
    assert (len(dataset.train), len(dataset.test), dataset.held_out) == (18, 2, True)


def test_a_test_split_without_labels_is_said(datasets: Any, few: Dataset, tmp_path: Path) -> None:
    """Labels of -1 are secret: those images are not used, and a line says so."""
    secret = Examples(few.test.x, np.full(len(few.test), -1))
    splits = {"train": rows(datasets, few.train), "test": rows(datasets, secret)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    dataset = image_sets.load(f"hf:{tmp_path / 'saved'}")
    assert "keeps the labels of its test images secret" in dataset.notes[0]
    assert dataset.held_out


@pytest.mark.usefixtures("datasets")
def test_a_folder_of_image_files_loads(few: Dataset, tmp_path: Path) -> None:
    """A folder of image files named by split and class loads, and every image keeps its label."""
    for split, images in {"train": few.train, "test": few.test}.items():
        for index, (image, label) in enumerate(zip(images.x, images.y, strict=True)):
            path = tmp_path / split / f"class-{label}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)
    pairs, names = hf.read(str(tmp_path))
    x_train, y_train = pairs["train"]
    classes = sorted({f"class-{label}" for label in few.train.y})
    assert names == classes
    expected = {
        (classes.index(f"class-{label}"), image.tobytes())
        for image, label in zip(few.train.x, few.train.y, strict=True)
    }
    assert {(label, image.tobytes()) for image, label in zip(x_train, y_train, strict=True)} == (
        expected
    )


@pytest.mark.usefixtures("datasets")
@pytest.mark.parametrize(
    ("names", "classes", "labels", "left"),
    [
        (["owl", "cat", "dog"], 3, [0, 1, 2], ("cat", "dog", "owl")),
        (["0", "1", "2", "10"], 11, [0, 1, 2, 10], None),
        (["1", "2", "9"], 10, [1, 2, 9], None),
    ],
    ids=["words", "0 to 10", "1 to 9"],
)
def test_a_folder_names_its_classes(
    tmp_path: Path,
    names: list[str],
    classes: int,
    labels: list[int],
    left: tuple[str, ...] | None,
) -> None:
    """Folders give their names to the classes; whole numbers become the labels."""
    for shade, name in enumerate(sorted(names, key=lambda name: (len(name), name))):
        for split in ("train", "test"):
            path = tmp_path / split / name / "0.png"
            path.parent.mkdir(parents=True)
            Image.new("L", (8, 8), shade).save(path)
    dataset = image_sets.load(f"hf:{tmp_path}", classes=classes)
    assert dataset.class_names == left
    pairs = zip(dataset.test.x[:, 0, 0, 0].tolist(), dataset.test.y.tolist(), strict=True)
    assert sorted(pairs) == [*enumerate(labels)]


def test_splits_that_name_classes_otherwise_are_refused(
    datasets: Any, few: Dataset, tmp_path: Path
) -> None:
    """A label means the same in both splits, or the set is refused."""
    train, test = rows(datasets, few.train), rows(datasets, few.test)
    other = datasets.ClassLabel(names=[*"9876543210"])
    splits = {"train": train, "test": test.cast_column("digit", other)}
    for split, part in splits.items():
        part.save_to_disk(tmp_path / split)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(UserError, match=r"split train names classes 0, .* test 9, 8"):
        hf.read(str(tmp_path))


def test_colour_has_three_channels(datasets: Any, few: Dataset, tmp_path: Path) -> None:
    """Images with transparency or a palette load with three colour channels."""
    splits = {"train": rows(datasets, few.train, "RGBA"), "test": rows(datasets, few.test, "P")}
    datasets.DatasetDict(splits).save_to_disk(tmp_path)
    pairs, _ = hf.read(str(tmp_path))
    x_train, x_test = pairs["train"][0], pairs["test"][0]
    assert (x_train.shape, x_test.shape) == ((20, 28, 28, 3), (10, 28, 28, 3))
    np.testing.assert_array_equal(x_train[..., 1:2], few.train.x)


def saved(datasets: Any, few: Dataset, what: str, folder: Path) -> str:
    """Write a bad data set to `folder` and return its name."""
    train, test = rows(datasets, few.train), rows(datasets, few.test)
    uneven = Examples(few.test.x[:, 1:], few.test.y)
    splits = {
        "untested": {"extra": train, "unsupervised": test},
        "blind": {"train": train.remove_columns("picture"), "test": test},
        "unlabelled": {"train": train.remove_columns("digit"), "test": test},
        "deep": {"train": rows(datasets, few.train, "I;16"), "test": test},
        "uneven": {"train": datasets.concatenate_datasets([train, rows(datasets, uneven)])},
    }[what]
    datasets.DatasetDict({"test": test, **splits} if what == "uneven" else splits).save_to_disk(
        folder
    )
    return str(folder)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("untested", "it must have a split train or test, but has extra, unsupervised"),
        ("blind", r"it must have a column of type Image, but has digit \(ClassLabel\)"),
        ("unlabelled", r"it must have a column of type ClassLabel, but has picture \(Image\)"),
        ("deep", "its pictures have mode I;16"),
        ("uneven", "split train differ in shape: number 20 is 27x28, the first 28x28"),
    ],
    ids=lambda value: value.split()[0],
)
def test_what_cannot_be_read_is_told(
    datasets: Any, few: Dataset, tmp_path: Path, what: str, message: str
) -> None:
    """The error names the fault of the data set."""
    with pytest.raises(UserError, match=message):
        hf.read(saved(datasets, few, what, tmp_path))


@pytest.mark.usefixtures("datasets")
def test_a_folder_without_data_is_told(tmp_path: Path) -> None:
    """An existing folder without data gives an error; the Hub is not asked for that name."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="doesn't contain any data files"):
        hf.read(str(tmp_path / "empty"))


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (None, False)])
def test_the_hub_answers_whatever_it_answers(
    monkeypatch: pytest.MonkeyPatch, status: int | None, answers: bool
) -> None:
    """A hub that refuses a request counts as reachable; one where nobody listens does not."""

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server requires this name
            self.send_error(status or 200)

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        if status:
            Thread(target=server.handle_request, daemon=True).start()
        else:
            server.server_close()
        assert hf._hub_answers() is answers


@pytest.mark.usefixtures("datasets")
def test_without_a_network_it_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a network, loading fails at once, with one error and nothing on stderr.

    The library alone would try six times in 24 s and report each on stderr.
    """
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(UserError, match=r"'someone/digits'.*the Hub is not reached") as refused:
        image_sets.load("hf:someone/digits")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
