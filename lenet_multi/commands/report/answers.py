"""The runs' most frequent and worst mistakes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet_multi.commands.report.groups import Shown
from lenet_multi.data.metrics import cross_entropies, worst_first


def often_confused(counts: NDArray[np.int64], at_most: int) -> list[tuple[int, int, int]]:
    """Return up to `at_most` mistakes, the most frequent first: label, answer, count."""
    mistakes = counts - np.diag(np.diag(counts))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:at_most]
    places = (divmod(int(cell), len(counts)) for cell in order)
    found = [(label, answer, int(mistakes[label, answer])) for label, answer in places]
    return [mistake for mistake in found if mistake[2]]


@dataclass(frozen=True)
class Answer:
    """A class, the runs that answered it, and their mean probability for it."""

    value: int
    runs: list[Shown]
    confidence: float


@dataclass(frozen=True)
class Mistake:
    """A test image: its index, its label, and the runs' answers."""

    image: int
    label: int
    answers: list[Answer]


def worst_mistakes(runs: Sequence[Shown], at_most: int) -> list[Mistake]:
    """Return images that a run got wrong, largest mean loss first; all runs share test images."""
    labels = runs[0].run.targets
    given = np.array([shown.run.outputs.argmax(axis=1) for shown in runs])  # (runs, images)
    losses = np.mean([cross_entropies(shown.run.outputs, labels) for shown in runs], axis=0)
    worst = worst_first((given != labels).any(axis=0), losses, at_most)
    return [
        Mistake(int(image), int(labels[image]), _answers(runs, given[:, image], int(image)))
        for image in worst
    ]


def _answers(runs: Sequence[Shown], given: NDArray[np.int64], image: int) -> list[Answer]:
    """Group the answers `given` (runs,) to an image by class, the most frequent class first."""
    answers = []
    for value, _ in Counter(given.tolist()).most_common():
        alike = [shown for shown, answer in zip(runs, given, strict=True) if answer == value]
        logits = np.array([shown.run.outputs[image] for shown in alike])
        costs = cross_entropies(logits, np.full(len(alike), value))
        answers.append(Answer(value, alike, float(np.exp(-costs).mean())))
    return answers
