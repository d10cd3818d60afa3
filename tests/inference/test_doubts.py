import math

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


def test_the_limit_is_three_deviations_above_what_chance_expects() -> None:
    """It comes from how frequent labels and answers are; a deviation is one image at least."""
    assert most_by_chance(np.array([[5, 5], [3, 7]])) == pytest.approx(10 + 3 * math.sqrt(5))
    assert most_by_chance(np.array([[1, 0], [0, 0]])) == 4


def test_the_limit_itself_is_chance() -> None:
    """As many right as chance explains are chance, if more would be possible."""
    assert most_by_chance(np.array([[1, 3], [0, 0]])) == 4
    assert not is_chance(np.array([[1, 3], [0, 0]]))  # there are four images, and the limit is four
    assert most_by_chance(np.array([[7, 1], [1, 7]])) == 14
    assert is_chance(np.array([[7, 1], [1, 7]]))  # fourteen of sixteen are right
    nine = np.array([[18, 18], [0, 0]])  # expected 18, and three times 3 more
    assert most_by_chance(nine) == 27
    assert is_chance(nine)


def test_another_range_must_be_right_clearly_more_often() -> None:
    """By more than three standard deviations of the difference; the line has both counts."""
    labels = np.arange(1000) % 10
    good = confusion(labels, labels)
    assert doubts(good, fed(), lambda: {"0,1": 35, "0,255": 65}) == []
    assert doubts(good, fed(), lambda: {"0,1": 3400, "0,255": 6600}) == [
        "of the same images, 6,600 are right when fed [0, 255] and 3,400 when fed [0, 1]: try "
        "--input-range 0,255"
    ]
    assert doubts(good, fed(), lambda: {"0,1": 65, "0,255": 35}) == []


def test_chance_is_one_whole_line() -> None:
    """It is tried on other ranges too, also where the range is known."""
    labels = np.arange(10_000) % 10
    lines = doubts(confusion(labels, labels * 0), fed("0,255"), lambda: {"0,1": 99, "0,255": 9})
    assert lines == [
        "1,000 of 10,000 right is no better than chance (up to 1,090): the model may take other "
        "pixels than [0, 255] (--input-range), or the images or labels are of another kind than "
        "those it was trained on",
        "of the same images, 99 are right when fed [0, 1] and 9 when fed [0, 255]: try "
        "--input-range 0,1",
    ]
