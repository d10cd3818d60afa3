from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import (
    Dataset,
    Examples,
    are_pictures,
    as_stored,
    changed,
    class_counts,
    drawn_order,
    epoch_order,
    hold_out,
    left_out,
    named,
    parts,
    split,
)
from lenet_multi.errors import UserError


def test_the_hash_sees_one_pixel(small: Dataset) -> None:
    """Data that differ in one pixel have different SHA-256 hashes."""
    images = small.test.x.copy()
    images[0, 0, 0, 0] ^= 1
    changed = Dataset(small.train, Examples(images, small.test.y))
    assert changed.sha256() != small.sha256()


def only(examples: Examples, **facts: Any) -> Dataset:
    """Return a data set with these training examples and no others."""
    return Dataset(examples, examples[:0], **facts)


@given(count=st.integers(1, 60_000), share=st.floats(0.001, 0.999))
def test_split_keeps_every_image_once_and_in_order(count: int, share: float) -> None:
    """Training and validation images together are all images in order; validation is the end."""
    labels = np.arange(count)
    images = Examples(labels.reshape(-1, 1, 1, 1), labels)
    try:
        training, validation = split(only(images), TrainConfig(validation_split=share))
    except UserError:
        assert int(count * (1 - share)) in (0, count)
    else:
        assert len(training) == int(count * (1 - share))
        np.testing.assert_array_equal(np.concatenate([training.y, validation.y]), labels)


@pytest.mark.parametrize("share", [1e-17, 0.999])
def test_split_that_leaves_nothing_is_refused(small: Dataset, share: float) -> None:
    """A split that leaves a part empty is refused, with both counts."""
    with pytest.raises(UserError, match="so that neither is 0"):
        split(only(small.train[:10]), TrainConfig(validation_split=share))


@given(count=st.integers(1, 1000), seed=st.integers(0, 2**40), epoch=st.integers(0, 100))
def test_an_epoch_sees_each_image_once(count: int, seed: int, epoch: int) -> None:
    """An order is a permutation, and the same each time."""
    order = epoch_order(count, seed=seed, epoch=epoch)
    np.testing.assert_array_equal(np.sort(order), np.arange(count))
    np.testing.assert_array_equal(order, epoch_order(count, seed=seed, epoch=epoch))


def test_orders_differ_by_seed_and_epoch() -> None:
    """Neighbouring seeds and epochs have different orders."""
    orders = {tuple(epoch_order(50, seed=s, epoch=e)) for s in range(5) for e in range(5)}
    assert len(orders) == 25


def test_the_order_is_the_documented_one() -> None:
    """The order of seed 0, epoch 0 is the same on every NumPy, as results depend on it."""
    assert list(epoch_order(8, seed=0, epoch=0)) == [2, 4, 3, 6, 5, 0, 1, 7]


def test_several_arrays_are_taken_together() -> None:
    """A split takes each example's inputs by name and targets by place together."""
    numbers = np.arange(10)
    examples = Examples({"number": numbers, "square": numbers**2}, (numbers, -numbers))
    assert len(examples) == 10
    training, validation = split(only(examples), TrainConfig(validation_split=0.3))
    assert (len(training), len(validation)) == (7, 3)
    assert list(validation.x["square"]) == [49, 64, 81]
    assert [list(array) for array in validation.y] == [[7, 8, 9], [-7, -8, -9]]


def test_the_hash_sees_every_array() -> None:
    """The hash covers each of several inputs and targets."""
    numbers = np.arange(4)

    def hashed(*, of_input: int = 0, of_target: int = 0) -> str:
        some = Examples({"one": numbers, "two": numbers + of_input}, (numbers, numbers + of_target))
        return Dataset(some, some).sha256()

    assert len({hashed(), hashed(of_input=1), hashed(of_target=1)}) == 3
    assert hashed() == hashed()


@pytest.mark.parametrize(
    ("x", "are"),
    [
        (np.zeros((2, 4, 4, 1), np.uint8), True),
        (np.zeros((2, 4, 4, 1), np.float32), False),
        (np.zeros((2, 4), np.uint8), False),
        ({"images": np.zeros((2, 4, 4, 1), np.uint8)}, False),
    ],
    ids=["bytes", "floats", "rows", "by name"],
)
def test_pictures_are_bytes_in_channels(x: Any, are: bool) -> None:
    """Only arrays of bytes (N, height, width, channels) count as pictures."""
    assert are_pictures(x) is are


def test_single_arrays_have_names() -> None:
    """A lone array has no name; keys and positions name several, joined where they are nested."""
    one, two, three = (np.zeros(count) for count in (1, 2, 3))
    assert named(one) == {"": one}
    assert named({"a": one, "b": (two, three)}) == {"a": one, "b.0": two, "b.1": three}
    assert list(named([one, two])) == ["0", "1"]


def numbered(count: int) -> Examples:
    """Return so many examples in order of class, a hundred each; an input is its number."""
    numbers = np.arange(count)
    return Examples(numbers, numbers // 100)


@given(seed=st.integers(0, 2**40))
def test_a_sorted_source_is_split_by_seed(seed: int) -> None:
    """Sorted data are shuffled first, so both parts have every class and no image is in both."""
    examples = numbered(1000)
    config = TrainConfig(seed=seed, validation_split=0.2)
    training, validation = split(only(examples, is_sorted=True), config)
    assert set(training.y) == set(validation.y) == set(range(10))
    both = np.concatenate([training.x, validation.x])
    np.testing.assert_array_equal(np.sort(both), examples.x)
    again = split(only(examples, is_sorted=True), config)
    np.testing.assert_array_equal(again[1].x, validation.x)


def test_another_seed_validates_on_other_images() -> None:
    """The seed decides which images validate."""
    drawn = [
        frozenset(split(only(numbered(1000), is_sorted=True), TrainConfig(seed=seed))[1].x.tolist())
        for seed in range(5)
    ]
    assert len(set(drawn)) == 5


def test_the_setting_shuffles_as_a_sorted_source_does() -> None:
    """With shuffle_split any data are split like those that are sorted."""
    of_setting = split(only(numbered(500)), TrainConfig(shuffle_split=True))
    of_source = split(only(numbered(500), is_sorted=True), TrainConfig())
    for one, other in zip(of_setting, of_source, strict=True):
        np.testing.assert_array_equal(one.x, other.x)


def test_a_validation_set_of_its_own_is_taken() -> None:
    """Data with a validation set train on all their training examples, in order."""
    dataset = only(numbered(500), validation=numbered(60), is_sorted=True)
    training, validation = split(dataset, TrainConfig(shuffle_split=True))
    assert training is dataset.train
    assert validation is dataset.validation


@given(count=st.integers(2, 3000))
def test_a_tenth_is_held_out(count: int) -> None:
    """Without a test set, a tenth is drawn for it in order, and a note says so."""
    found = hold_out(only(numbered(count)), "digits.csv")
    assert len(found.test) == -(-count // 10)
    assert found.held_out
    assert found.notes[-1].startswith("digits.csv has no test images")
    for part in (found.train, found.test):
        np.testing.assert_array_equal(part.x, np.sort(part.x))
    both = np.concatenate([found.train.x, found.test.x])
    np.testing.assert_array_equal(np.sort(both), np.arange(count))
    again = hold_out(only(numbered(count)), "digits.csv")
    np.testing.assert_array_equal(again.test.x, found.test.x)


def test_what_cannot_be_split_is_refused() -> None:
    """A single image cannot be both for training and for the test."""
    with pytest.raises(UserError, match="has 1 images and no test images"):
        hold_out(only(numbered(1)), "one.csv")


def test_the_hash_sees_the_validation_set() -> None:
    """Data with another validation set are other data."""
    hashes = {only(numbered(9), validation=numbered(count)).sha256() for count in (1, 2)}
    assert len({*hashes, only(numbered(9)).sha256()}) == 3


def test_classes_are_counted_in_order() -> None:
    """The counts of labels are in the order of their values."""
    counts = class_counts(np.array([10, 2, 2, 0], np.uint8))
    assert list(counts.items()) == [("0", 1), ("2", 2), ("10", 1)]


@pytest.mark.parametrize(
    ("training", "validation", "warnings"),
    [
        ([0, 1], [1, 0], []),
        ([0, 1, 2], [2], ["no validation image is of classes 0, 1: early stopping"]),
        ([0], [0, 10], ["no training image is of class 10: the model cannot learn what"]),
        ([0], [1], ["no training image is of class 1", "no validation image is of class 0"]),
    ],
)
def test_a_class_that_is_left_out_is_named(
    training: list[int], validation: list[int], warnings: list[str]
) -> None:
    """Each part that lacks a class of the other has a line with the remedy."""
    counts = {
        "training": class_counts(np.array(training)),
        "validation": class_counts(np.array(validation)),
    }
    found = left_out(counts, remedy="do this")
    assert len(found) == len(warnings)
    for line, warning in zip(found, warnings, strict=True):
        assert line.startswith(warning)
        assert line.endswith("; do this")


def test_images_of_one_class_teach_nothing() -> None:
    """Where all examples are of one class, a line says so: nothing could be told apart."""
    counts = {"training": {"7": 3}, "validation": {"7": 1}}
    (found,) = left_out(counts, remedy="do this")
    assert found.startswith("every image to learn from is of class 7: give images of another")


def test_a_class_of_the_test_alone_is_said() -> None:
    """A class that is only tested is named: no model learns what it does not see."""
    counts = {"training": {"0": 3, "1": 1}, "validation": {"0": 1, "1": 1}}
    (found,) = left_out(counts, remedy="do this", tested=["0", "1", "9"], kind="example")
    assert found.startswith("no training example is of class 9: the model cannot learn what it ")
    assert left_out({}, remedy="do this", tested=["9"]) == []


def test_a_class_with_a_name_is_left_out_by_name() -> None:
    """The warning has the name of the class instead of its label, without terminal codes."""
    counts = {"training": {"0": 3, "1": 1}, "validation": {"0": 1}}
    (found,) = left_out(counts, ("cat", "dog\x1b"), remedy="do this")
    assert found.startswith("no validation image is of class dog\\x1b: ")
    (found,) = left_out({"training": {"1": 3}}, ("cat", "dog"), remedy="do this", tested=["0", "1"])
    assert found.startswith("every image to learn from is of class dog: ")


def test_a_split_is_refused_with_both_counts() -> None:
    """One image on either side is enough; none is not."""
    for share, at in ((0.1, 9), (0.85, 1)):
        training, validation = split(only(numbered(10)), TrainConfig(validation_split=share))
        assert (len(training), len(validation)) == (at, 10 - at)
    with pytest.raises(UserError) as refused:
        split(only(numbered(10)), TrainConfig(validation_split=0.99))
    assert str(refused.value) == (
        "--validation-split 0.99 of 10 images leaves 0 for training and 10 for validation; choose "
        "one so that neither is 0"
    )


def test_what_is_held_out_is_said() -> None:
    """The line has both counts; the same images are held out in every run, whatever its seed."""
    found = hold_out(only(numbered(12_345), notes=("first",)), "digits.csv")
    assert found.notes == (
        "first",
        "digits.csv has no test images: 1,235 of its 12,345 training images, drawn by a fixed "
        "seed, are for the test",
    )
    assert found.is_sorted
    assert list(found.test.x[:4]) == [4, 10, 23, 32]
    assert list(hold_out(only(numbered(2)), "two.csv").test.x) == [1]
    with pytest.raises(UserError) as refused:
        hold_out(only(numbered(1)), "one.csv")
    assert str(refused.value) == "one.csv has 1 images and no test images; give two or more"


def test_the_order_of_a_split_is_the_documented_one() -> None:
    """The order of a split is the same on every NumPy, and is none of an epoch's."""
    assert list(drawn_order(8, seed=0)) == [4, 1, 5, 3, 6, 7, 2, 0]
    assert list(drawn_order(8, seed=1)) != list(drawn_order(8, seed=0))
    assert list(drawn_order(8, seed=0)) != list(epoch_order(8, seed=0, epoch=1))


def test_a_change_keeps_the_form() -> None:
    """A dictionary stays one; lists and tuples become tuples; a lone array is changed itself."""
    assert changed(abs, {"a": -1}) == {"a": 1}
    assert changed(abs, [-1, -2]) == changed(abs, (-1, -2)) == (1, 2)
    assert changed(abs, -1) == 1
    assert parts({"a": 1, "b": 2}) == parts([1, 2]) == parts((1, 2)) == [1, 2]
    assert parts(1) == [1]
    assert as_stored(parts) is parts


def test_names_of_nested_arrays_have_their_keys() -> None:
    """Keys need not be texts, and a name in front stays in front."""
    assert named({1: {"b": 5}}, "a") == {"a.1.b": 5}
    assert named((5, 6), "a") == {"a.0": 5, "a.1": 6}


def test_warnings_of_what_is_left_out_are_whole_lines() -> None:
    """Labels come in the order of their value, after what they mean."""
    counts = {"training": {"10": 1, "9": 1, "2": 1}, "validation": {"2": 1}}
    assert left_out(counts, remedy="do this") == [
        "no validation image is of classes 9, 10: early stopping and the best checkpoint would "
        "judge by the others alone; do this"
    ]
    counts = {"training": {"1": 1}, "validation": {"1": 1, "2": 1}}
    assert left_out(counts, remedy="do this") == [
        "no training image is of class 2: the model cannot learn what it does not see; do this"
    ]


def test_a_batch_holds_weights_where_there_are_any() -> None:
    """Inputs and targets come first."""
    numbers = np.arange(3)
    assert len(Examples(numbers, numbers).sides) == 2
    x, y, weights = Examples(numbers, numbers + 1, np.ones(3, np.float32)).sides
    assert (x.tolist(), y.tolist(), weights.tolist()) == ([0, 1, 2], [1, 2, 3], [1, 1, 1])


def test_a_split_that_validates_on_nothing_has_its_counts() -> None:
    """A tiny share leaves none for validation."""
    with pytest.raises(UserError, match="leaves 10 for training and 0 for validation"):
        split(only(numbered(10)), TrainConfig(validation_split=1e-17))
