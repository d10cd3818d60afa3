"""Evaluate a saved model on test images, class by class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lenet_multi.data import sets
from lenet_multi.data.metrics import as_probabilities, confusion_matrix, worst_first
from lenet_multi.data.sets import ImageSet
from lenet_multi.errors import UserError, by
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine.keras_start import start_and_load

_MOST_COLUMNS = 20  # of a confusion matrix that is readable in a terminal


@dataclass(frozen=True)
class Assessment:
    """What a model answered to test images: logits (N, classes) float32, mean loss in nats."""

    test: ImageSet
    logits: NDArray[np.float32]
    loss: float

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How many images of each label got each answer: (classes, classes), label first."""
        return confusion_matrix(self.logits, self.test.labels)

    @property
    def accuracy(self) -> float:
        """The share of images answered rightly."""
        return int(self.confusion.trace()) / len(self.test)

    def by_class(self) -> list["OfClass"]:
        """Return the counts of each class."""
        matrix = self.confusion
        counts = zip(matrix.sum(axis=1), matrix.diagonal(), matrix.sum(axis=0), strict=True)
        return [OfClass(*map(int, of_class)) for of_class in counts]

    def worst_mistakes(self, most: int) -> list["Mistake"]:
        """Return up to `most` wrong answers, those given most confidently first."""
        answers = self.logits.argmax(axis=1)
        confidence = as_probabilities(self.logits).max(axis=1)
        worst = worst_first(answers != self.test.labels, confidence, most)
        return [
            Mistake(int(i), int(self.test.labels[i]), int(answers[i]), float(confidence[i]))
            for i in worst
        ]


@dataclass(frozen=True)
class OfClass:
    """A class's images, how many of them were answered rightly, how often it was the answer."""

    images: int
    right: int
    answered: int

    @property
    def precision(self) -> float | None:
        """The share of its answers that are right; None where it was never the answer."""
        return self.right / self.answered if self.answered else None

    @property
    def recall(self) -> float | None:
        """The share of its images that are answered rightly; None where it has none."""
        return self.right / self.images if self.images else None


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: which test image, from 0, its label, the answer, how sure it was."""

    image: int
    label: int
    answer: int
    probability: float


def assess(model: SavedModel, source: str | None, *, backend: str) -> Assessment:
    """Return what `model` answers to the test images of `source`.

    `source` is as of `train`, by default what the run was trained on, or MNIST. Keras is imported
    here, on `backend`.

    Raises `UserError` when the images cannot be read, or do not fit the model, or the backend
    cannot compute it.
    """
    source = source or model.data
    test = start_and_load(backend, lambda: sets.load(source, classes=256).test)
    from lenet_multi.inference.answer import computing, quicken
    from lenet_multi.inference.evaluate import evaluate
    from lenet_multi.training.model import with_logits

    network = model.load()
    _refuse_misfit(network.input_shape, network.output_shape, test, source)
    network = with_logits(network)
    quicken(network)
    with computing(model.path):
        evaluation = evaluate(network, test)
    return Assessment(test, evaluation.logits, evaluation.loss)


def _refuse_misfit(
    taken: tuple[int | None, ...], given: tuple[int | None, ...], test: ImageSet, source: str
) -> None:
    shape, highest = test.images.shape[1:], int(test.labels.max())
    for wanted, is_ in zip(taken[1:], shape, strict=True):
        if wanted not in (None, is_):
            raise UserError(
                f"the model takes images of {by(taken[1:])} and {source!r} has {by(shape)}; "
                "see --data"
            )
    if highest >= (given[1] or 0):
        raise UserError(
            f"the model knows {given[1]} classes and {source!r} has labels up to {highest}; "
            "see --data"
        )


def print_assessment(found: Assessment, console: Console) -> None:
    """Print the figures of each class, and the confusion matrix unless it is too wide."""
    console.print(_class_table(found))
    if len(found.confusion) <= _MOST_COLUMNS:
        console.print(_confusion_table(found))


def _class_table(found: Assessment) -> Table:
    table = Table(title="Class by class", title_justify="left")
    for column in ("class", "images", "right", "precision", "recall"):
        table.add_column(column, justify="right")
    for index, of_class in enumerate(found.by_class()):
        shares = (of_class.precision, of_class.recall)
        table.add_row(
            str(index),
            f"{of_class.images:,}",
            f"{of_class.right:,}",
            *("none" if share is None else f"{share:.2%}" for share in shares),
        )
    return table


def _confusion_table(found: Assessment) -> Table:
    title = "Confusion: a row for each label, a column for each answer"
    table = Table("", title=title, title_justify="left")
    matrix = found.confusion
    for answer in range(len(matrix)):
        table.add_column(str(answer), justify="right")
    for label, row in enumerate(matrix):
        cells = [
            Text(str(count or ""), "bold green" if answer == label else "")
            for answer, count in enumerate(row)
        ]
        table.add_row(str(label), *cells)
    return table


def as_json(found: Assessment) -> dict[str, Any]:
    """Return the assessment as what `--json` prints."""
    return {
        "test_images": len(found.test),
        "test_correct": int(found.confusion.trace()),
        "test_accuracy": found.accuracy,
        "test_loss": found.loss,
        "classes": [
            {
                "class": index,
                "images": of_class.images,
                "right": of_class.right,
                "precision": of_class.precision,
                "recall": of_class.recall,
            }
            for index, of_class in enumerate(found.by_class())
        ],
        "confusion": found.confusion.tolist(),
    }
