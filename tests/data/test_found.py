from pathlib import Path

import numpy as np
import pytest

from lenet_multi.data.found import Found, named_arrays, part_of, texts
from lenet_multi.errors import UserError

FILE = Path("some.npz")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            ("x_train", "y_train", "x_test", "y_test"),
            {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
        ),
        (
            (
                *("train_images", "val_images", "test_images"),
                *("train_labels", "val_labels", "test_labels"),
            ),
            {
                "train": ("train_images", "train_labels"),
                "validation": ("val_images", "val_labels"),
                "test": ("test_images", "test_labels"),
            },
        ),
        (
            ("train/data", "train/target", "test/data", "test/target"),
            {"train": ("train/data", "train/target"), "test": ("test/data", "test/target")},
        ),
        (
            (
                *("dataset.train.images", "dataset.train.labels", "dataset.train.writers"),
                "dataset.mapping",
            ),
            {"train": ("dataset.train.images", "dataset.train.labels")},
        ),
        (
            ("list_classes", "test_set_x", "test_set_y"),
            {"test": ("test_set_x", "test_set_y")},
        ),
        (
            ("trainX", "trainY", "Xtest", "ytest"),
            {"train": ("trainX", "trainY")} | {"test": ("Xtest", "ytest")},
        ),
        (("X", "y"), {"whole": ("X", "y")}),
        (("X", "y", "Xt", "X_test", "y_test"), {"whole": ("X", "y"), "test": ("X_test", "y_test")}),
        (("data", "label", "mldata_descr_ordering"), {"whole": ("data", "label")}),
    ],
    ids=[
        "Keras",
        "MedMNIST",
        "groups",
        "EMNIST",
        "test alone",
        "camel case",
        "X and y",
        "and test",
        "OpenML",
    ],
)
def test_arrays_are_known_by_the_names_that_people_give(
    names: tuple[str, ...], found: dict[str, tuple[str, str]]
) -> None:
    """A name has a part and a side, in any order and case; other names are ignored."""
    assert named_arrays(FILE, names) == found


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "some.npz has no arrays; name its arrays x_train, y_train, x_test and y_test"),
        (("a", "weights"), "some.npz has a, weights; name its arrays"),
        (("x_train",), "has x_train but not its labels; name"),
        (("x",), "has x but not its labels; name"),
        (("x_test", "y_test", "y_train"), "has y_train but not its images; name"),
        (("X", "data", "y"), "has both X and data; name one of them otherwise"),
    ],
)
def test_arrays_that_are_not_told_apart_are_refused(names: tuple[str, ...], message: str) -> None:
    """The error lists what the file has and which names are read, each once."""
    with pytest.raises(UserError, match=message) as caught:
        named_arrays(FILE, names)
    assert str(caught.value).count("x_test") <= 1 + names.count("x_test")


def test_many_names_make_a_short_message() -> None:
    """The error shows only a few of a thousand long names."""
    with pytest.raises(UserError, match=r"and 980 more; name") as caught:
        named_arrays(FILE, [f"{'pixel' * 100}{index}" for index in range(1000)])
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(("train-00000-of-00001", "train"), ("fashion-mnist_test", "test"), ("val", "validation")),
        *(("train_32x32", "train"), ("Testing", "test"), ("digits", None), ("latest", None)),
        *(("contrast", None), ("sign_mnist_valid", "validation"), ("t10k", "test")),
    ],
)
def test_a_part_is_a_word_of_a_name(name: str, part: str | None) -> None:
    """A part is a whole word of a file's name, not letters in another word."""
    assert part_of(name) == part


def test_names_are_an_array() -> None:
    """Labels that are texts or bytes become an array, in which each takes as much as the longest.

    A text that is hardly a name is refused before it does.
    """
    assert texts(FILE, ["cat", "dog"]).tolist() == ["cat", "dog"]
    assert texts(FILE, [b"cat", b"dog"]).tolist() == [b"cat", b"dog"]
    assert texts(FILE, []).shape == (0,)
    assert texts(FILE, ["x" * 255]).shape == (1,)
    with pytest.raises(UserError, match=r"some\.npz has a label of 1,000,000 letters; give"):
        texts(FILE, ["a"] * 10**4 + ["x" * 10**6])
    with pytest.raises(UserError, match=r"some\.npz has an example without a label; give it one"):
        texts(FILE, ["cat", ""])


def test_what_is_whole_becomes_the_part_of_its_file() -> None:
    """Parts that a file has itself keep their names; all else that is known stays."""
    pair = (np.zeros(2), np.ones(2))
    whole = Found({"whole": pair}, ("note",), is_sorted=True, class_names=("a",))
    assert whole.renamed("test") == Found({"test": pair}, ("note",), True, ("a",))
    assert whole.renamed(None) is whole
    parts = Found({"train": pair})
    assert parts.renamed("test") is parts


def test_arrays_without_a_part_are_left_where_others_have_one() -> None:
    """The whole beside its parts would be used twice."""
    names = ("X", "y", "x_train", "y_train")
    assert named_arrays(FILE, names) == {"train": ("x_train", "y_train")}
    assert named_arrays(FILE, (*names, "x_test", "y_test")).keys() == {"train", "test"}
