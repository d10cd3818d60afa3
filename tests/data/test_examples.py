from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet_multi.data.examples import Dataset, Examples, are_pictures, epoch_order, named, split
from lenet_multi.errors import UserError


def test_the_hash_sees_one_pixel(small: Dataset) -> None:
    """Data that differ in one pixel have different SHA-256 hashes."""
    images = small.test.x.copy()
    images[0, 0, 0, 0] ^= 1
    changed = Dataset(small.train, Examples(images, small.test.y))
    assert changed.sha256() != small.sha256()


@given(count=st.integers(1, 60_000), share=st.floats(0.001, 0.999))
def test_split_keeps_every_image_once_and_in_order(count: int, share: float) -> None:
    """Training and validation images together are all images in order; validation is the end."""
    labels = np.arange(count)
    images = Examples(labels.reshape(-1, 1, 1, 1), labels)
    try:
        training, validation = split(images, share)
    except UserError:
        assert int(count * (1 - share)) in (0, count)
    else:
        assert len(training) == int(count * (1 - share))
        np.testing.assert_array_equal(np.concatenate([training.y, validation.y]), labels)


@pytest.mark.parametrize("share", [1e-17, 0.999])
def test_split_that_leaves_nothing_is_refused(small: Dataset, share: float) -> None:
    """A split that leaves a part empty is refused, with both counts."""
    with pytest.raises(UserError, match="so that neither is 0"):
        split(small.train[:10], share)


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
    training, validation = split(examples, 0.3)
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
