import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenet_multi.inference.doubts import doubts, is_chance, most_by_chance
from lenet_multi.inference.inputs import Inputs, inputs_of

GENERATOR = np.random.default_rng(0)


def confusion(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of images by label and answer, of ten classes."""
    matrix = np.zeros((10, 10), np.int64)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def fed(range_: str | None = None) -> Inputs:
    """Return inputs with the range that the user asked for, or an assumed one."""
    return inputs_of({}, None, "resize", asked_range=range_, asked_prepared=None)


@given(seed=st.integers(0, 10_000), images=st.integers(200, 2000), shares=st.integers(1, 9))
def test_one_answer_for_all_is_chance(seed: int, images: int, shares: int) -> None:
    """A model that gives one answer is right by chance, however frequent that class is."""
    generator = np.random.default_rng(seed)
    shared = generator.dirichlet(np.ones(10)) * shares / 10 + (10 - shares) / 100
    labels = generator.choice(10, images, p=shared / shared.sum())
    matrix = confusion(labels, np.full(images, np.bincount(labels).argmax()))
    assert is_chance(matrix)
    assert most_by_chance(matrix) >= matrix.trace()


def test_guesses_are_chance_and_knowledge_is_not() -> None:
    """Random answers are chance; answers that are right a little more often are not."""
    labels, guesses = GENERATOR.integers(0, 10, (2, 5000))
    assert is_chance(confusion(labels, guesses))
    knows = GENERATOR.random(5000) < 0.06  # 15 % right
    assert not is_chance(confusion(labels, np.where(knows, labels, guesses)))
    assert not is_chance(confusion(labels, labels))


def test_worse_than_chance_is_no_better() -> None:
    """A model that is always wrong is no better than chance."""
    labels = np.arange(1000) % 10
    assert is_chance(confusion(labels, (labels + 1) % 10))


@pytest.mark.parametrize("images", [1, 2])
def test_too_few_images_tell_nothing(images: int) -> None:
    """There is no warning if even right answers could be chance."""
    labels = np.arange(images)
    assert not is_chance(confusion(labels, (labels + 1) % 10))
    assert not is_chance(confusion(np.zeros(500, int), np.zeros(500, int)))


def test_the_warning_names_the_limit_and_the_flag() -> None:
    """The warning says what is right, what chance explains, and what may be the cause."""
    labels = np.arange(1000) % 10
    (line,) = doubts(confusion(labels, labels * 0), fed("0,1"), lambda: {"0,1": 9, "0,255": 9})
    assert line.startswith("100 of 1,000 right is no better than chance (up to 128)")
    assert "other pixels than [0, 1] (--input-range)" in line


def test_a_range_that_gives_more_right_is_named() -> None:
    """With an assumed range, another one that is clearly right more often is named; others not."""
    labels = np.arange(1000) % 10
    good = confusion(labels, labels)
    better = {"0,1": 500, "0,255": 900, "-1,1": 400}
    (line,) = doubts(good, fed(), lambda: better)
    assert line.endswith("try --input-range 0,255")
    assert doubts(good, fed(), lambda: {"0,1": 900, "0,255": 920, "-1,1": 0}) == []


def test_nothing_is_tried_where_the_range_is_known() -> None:
    """A good model whose range is known costs no more computation."""
    labels = np.arange(1000) % 10
    assert doubts(confusion(labels, labels), fed("0,255"), lambda: pytest.fail("tried")) == []
