"""Evaluate a model on a test set: every example counted, none averaged over unequal batches."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi import backends
from lenet_multi.config import MOST_CLASSES, TrainConfig
from lenet_multi.data.examples import Examples
from lenet_multi.data.metrics import (
    as_logits,
    confusion_matrix,
    count_correct,
    cross_entropy,
    errors,
)
from lenet_multi.errors import UserError, by
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.keras_start import start_and_load
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Evaluation:
    """What a model predicts of a test set, and what that says.

    `outputs` are (N, ...), a classifier's logits (N, classes) float32; `loss` is the mean loss, a
    classifier's in nats; `metrics` are by Keras's names, a classifier's "accuracy".
    """

    test: Examples
    outputs: NDArray[Any]
    loss: float
    metrics: dict[str, float]

    @property
    def correct(self) -> int:
        """How many examples a classifier answers rightly."""
        return count_correct(self.outputs, self.test.y)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How many examples of each label got each answer: (classes, classes), label first."""
        return confusion_matrix(self.outputs, self.test.y)

    def by_class(self) -> list[dict[str, Any]]:
        """Return of each class how many images it has, and how they are answered.

        Precision is the share of its answers that are right, None where it was never the answer;
        recall is the share of its images that are answered rightly, None where it has none.
        """
        matrix = self.confusion
        counts = np.stack([matrix.sum(axis=1), matrix.diagonal(), matrix.sum(axis=0)], axis=1)
        return [
            {
                "class": index,
                "images": images,
                "right": right,
                "precision": right / answered if answered else None,
                "recall": right / images if images else None,
            }
            for index, (images, right, answered) in enumerate(counts.tolist())
        ]


def evaluate_saved(model: SavedModel, source: str | None, *, backend: str) -> Evaluation:
    """Return the evaluation of a saved classifier on the test images of `source`.

    `source` is as of `train`, by default what the run was trained on, or MNIST. Keras is imported
    here, on `backend`.

    Raises `UserError` when the images cannot be read, or do not fit the model, or the backend
    cannot compute it.
    """
    source = source or model.data
    config = TrainConfig(data=source, classes=MOST_CLASSES)
    test = start_and_load(backend, lambda: model.task.load(config).test)
    from lenet_multi.inference.heads import with_logits
    from lenet_multi.inference.predict import computing

    network = model.load()
    _refuse_misfit(network, test, source)
    network = with_logits(network)
    _quicken(network)
    with computing(model.path):
        return evaluate(network, model.task, test)


def _refuse_misfit(model: "keras.Model", test: Examples, source: str) -> None:
    taken, shape = model.input_shape[1:], test.x.shape[1:]
    if any(wanted not in (None, is_) for wanted, is_ in zip(taken, shape, strict=True)):
        raise UserError(
            f"the model takes images of {by(taken)} and {source!r} has {by(shape)}; see --data"
        )
    classes, highest = model.output_shape[1], int(test.y.max())
    if highest >= (classes or 0):
        raise UserError(
            f"the model knows {classes} classes and {source!r} has labels up to {highest}; "
            "see --data"
        )


def _quicken(model: "keras.Model") -> None:
    """Have `model` predict in its backend's fastest form, which changes no more than rounding."""
    import keras

    from lenet_multi.backends import choice
    from lenet_multi.backends.fast import make_fast

    if keras.backend.backend() in BACKENDS:
        how = choice.here()
        model.jit_compile = how.jit_compile
        make_fast(model, replace(how, form=how.answer_form, xla_loops=False))


def as_json(found: Evaluation) -> dict[str, Any]:
    """Return a classifier's evaluation as what `--json` prints."""
    return {
        "test_images": len(found.test),
        "test_correct": found.correct,
        "test_accuracy": found.metrics["accuracy"],
        "test_loss": found.loss,
        "classes": found.by_class(),
        "confusion": found.confusion.tolist(),
    }


def evaluate(model: "keras.Model", task: Task, test: Examples) -> Evaluation:
    """Return the evaluation of `model` on all of `test`.

    NumPy counts a classifier's answers, through its logits where it has them. Of other models Keras
    tells the loss and metrics, but for those that NumPy knows.
    """
    import keras

    from lenet_multi.data.batches import EVALUATION_BATCH_SIZE, Batches
    from lenet_multi.inference.heads import with_logits

    backend = keras.backend.backend()
    feed = backends.module(backend).feed if backend in BACKENDS else (lambda batches: batches)
    batches = Batches(test, batch_size=EVALUATION_BATCH_SIZE, prepare=task.prepare)
    if task.classifies:
        outputs = with_logits(model).predict(feed(batches), verbose=0)
        logits = as_logits(np.asarray(outputs, np.float32))  # of bfloat16 under that policy
        accuracy = count_correct(logits, test.y) / len(test)
        return Evaluation(test, logits, cross_entropy(logits, test.y), {"accuracy": accuracy})
    outputs = np.asarray(model.predict(feed(batches), verbose=0))
    found = model.evaluate(feed(batches), verbose=0, return_dict=True)
    loss = float(found.pop("loss"))
    known = errors(outputs, test.y)
    metrics = {name: known.pop(name, float(value)) for name, value in found.items()}
    return Evaluation(test, outputs, loss, metrics | known)
