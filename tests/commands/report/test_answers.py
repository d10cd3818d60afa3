import dataclasses

import numpy as np
import pytest

from lenet_multi.commands.report.answers import often_confused, worst_mistakes
from lenet_multi.commands.report.groups import Shown, group
from lenet_multi.runs.record import Run
from tests.examples import example_run


def run(logits: list[list[float]], labels: list[int], backend: str = "jax") -> Run:
    """Return a run with these logits."""
    return dataclasses.replace(
        example_run(backend),
        outputs=np.array(logits, np.float32),
        targets=np.array(labels, np.uint8),
    )


def shown(*runs: Run) -> list[Shown]:
    """Return the runs of one group as they are shown."""
    (found,) = group(runs)
    return found.runs


def test_frequent_mistakes_are_told() -> None:
    """The most frequent mistakes come first; right answers and zero counts are left out."""
    counts = np.array([[7, 0, 1], [0, 9, 0], [0, 2, 0]])
    assert often_confused(counts, at_most=1) == [(2, 1, 2)]
    assert often_confused(counts, at_most=9) == [(2, 1, 2), (0, 2, 1)]


def test_mistakes_that_are_as_frequent_keep_their_order() -> None:
    """They come by label and answer."""
    counts = np.ones((20, 20), np.int64)
    pairs = [(label, answer) for label in range(20) for answer in range(20) if label != answer]
    assert often_confused(counts, at_most=400) == [(*pair, 1) for pair in pairs]


def test_the_most_certain_mistake_is_the_worst() -> None:
    """Right answers are left out, however unsure; the rest are sorted by loss, largest first."""
    one = run([[0, 0.1], [5, 0], [1, 0], [3, 0]], [1, 1, 1, 1])
    found = worst_mistakes(shown(one), 2)
    assert [(mistake.image, mistake.label) for mistake in found] == [(1, 1), (3, 1)]


def test_answers_are_told_together() -> None:
    """Runs with the same answer share an entry with their mean probability, most runs first."""
    logits = [[np.log(3), 0]], [[0, np.log(9)]], [[0, np.log(4)]]
    runs = shown(*(run(of_run, [0], name) for of_run, name in zip(logits, "abc", strict=True)))
    (mistake,) = worst_mistakes(runs, 5)
    assert [answer.value for answer in mistake.answers] == [1, 0]
    assert [[one.label for one in answer.runs] for answer in mistake.answers] == [["b", "c"], ["a"]]
    assert [answer.confidence for answer in mistake.answers] == pytest.approx([0.85, 0.75])
