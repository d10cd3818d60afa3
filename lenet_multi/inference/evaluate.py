"""Evaluate a model on a test set: count every example; average no batches of unequal size."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi import backends
from lenet_multi.config import MOST_CLASSES, TrainConfig
from lenet_multi.data import metrics
from lenet_multi.data.class_names import Names, matched
from lenet_multi.data.examples import Arrays, Dataset, Examples
from lenet_multi.data.sources import LIBRARIES
from lenet_multi.errors import UserError, by
from lenet_multi.inference import transposed
from lenet_multi.inference.doubts import TRIED, doubts
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.keras_start import start_and_load
from lenet_multi.runs.record import NUMBERS, SCHEMA_VERSION, Result
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Evaluation:
    """A model's outputs on a test set, its mean loss, and its metrics by Keras's names.

    `doubts` are lines that warn the user of the result.
    """

    test: Examples
    outputs: Arrays  # (N, ...), or several; a classifier's are logits (N, classes) float32
    loss: float  # a classifier's is in nats
    metrics: dict[str, float]  # a classifier's is "accuracy"
    doubts: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()  # on the data, for people
    class_names: Names | None = None  # a classifier's; without them labels are the names

    @property
    def correct(self) -> int:
        """The number of examples that a classifier answers correctly."""
        return metrics.count_correct(self.outputs, self.test.y)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """The number of examples by label and answer: (classes, classes), label first."""
        return metrics.confusion_matrix(self.outputs, self.test.y)

    def by_class(self) -> list[dict[str, Any]]:
        """Return the name, if any, the counts of images and right answers, precision and recall.

        Precision is right / answers, recall is right / images; None instead of dividing by zero.
        """
        matrix = self.confusion
        counts = np.stack([matrix.sum(axis=1), matrix.diagonal(), matrix.sum(axis=0)], axis=1)
        return [
            {
                "class": index,
                **({"name": self.class_names[index]} if self.class_names else {}),
                "images": images,
                "right": right,
                "precision": right / answered if answered else None,
                "recall": right / images if images else None,
            }
            for index, (images, right, answered) in enumerate(counts.tolist())
        ]


def evaluate_saved(
    model: SavedModel, source: str | None, *, backend: str, transpose: bool = False
) -> Evaluation:
    """Import Keras on `backend`; return a classifier's evaluation on the test images of `source`.

    `source` is a `--data` of `train` (default: the data of the model's run, or MNIST), which needs
    no training images. Its labels are matched to the model's classes by name. `transpose` exchanges
    rows and columns of images other than the run's. Raises `UserError` when images are unreadable
    or do not fit, classes are others, or the backend cannot compute the model.
    """
    classes = MOST_CLASSES
    if source is None and model.result:
        transpose = transpose or bool(model.result.config.get("transpose"))
    source = source or model.data
    if model.result and source == model.data:  # its names that are numbers are read as in training
        classes = model.result.config["classes"]
    config = TrainConfig(data=source, classes=classes, transpose=transpose)
    dataset = start_and_load(backend, lambda: (model.task.load_test or model.task.load)(config))
    dataset = _all_unless_trained_on(model, dataset, source)
    from lenet_multi.inference.heads import with_logits
    from lenet_multi.inference.predict import computing

    network = model.load()
    _refuse_other_images(network, dataset.test, source)
    test, names, notes = _matched(model, network.output_shape[1] or 0, dataset, source)
    _refuse_other_labels(network, test, source)
    network = with_logits(network)
    quicken(network)
    with computing(model.path):
        found = evaluate(network, model.task, test)
        hint = transposed.hint(network, model.task, found, transpose=transpose)
        counts = partial(_right_when_fed, network, model.task, test)
        doubted = [] if hint else doubts(found.confusion, model.inputs, counts)
    said = (*dataset.notes, *notes, *hint)
    return replace(found, doubts=doubted, notes=said, class_names=names)


def _right_when_fed(model: "keras.Model", task: Task, test: Examples) -> dict[str, int]:
    """Return the number of right answers to some of `test` for each range of the task's inputs."""
    some = test[:: -(-len(test) // TRIED)]
    return {
        name: evaluate(model, replace(task, prepare=prepare), some).correct
        for name, prepare in task.ranges.items()
    }


def _all_unless_trained_on(model: SavedModel, dataset: Dataset, source: str) -> Dataset:
    """Return `dataset`; if it had no test set and is not the run's, with all images as the test."""
    if not dataset.held_out or (model.result and dataset.sha256() == model.result.data_sha256):
        return dataset
    count = len(dataset.train) + len(dataset.test)
    both = zip(*((one.x, one.y) for one in (dataset.train, dataset.test)), strict=True)
    note = (
        f"{source} has no test images: all its {count:,} images are the test, and a model that was "
        "trained on them is judged too well"
    )
    return replace(
        dataset, test=Examples(*map(np.concatenate, both)), notes=(*dataset.notes[:-1], note)
    )


def _matched(
    model: SavedModel, classes: int, dataset: Dataset, source: str
) -> tuple[Examples, Names | None, tuple[str, ...]]:
    """Return the test examples with the model's labels, the names of its classes, and notes."""
    test, of_data, of_model = dataset.test, dataset.class_names, model.class_names
    if model.result and source == model.data:  # the data that the model was trained on
        if of_data is None and model.result.config.get("class_names"):
            return test, of_model, ()  # the user named the classes
        is_old = model.result.schema_version < SCHEMA_VERSION
        if is_old and source.partition(":")[0] in LIBRARIES:
            _refuse_other_numbers(model.result, dataset, source)
        if of_model is None and of_data and len(of_data) < classes:  # as older programs allowed
            of_data += tuple(map(str, range(len(of_data), classes)))
        of_model = of_model or of_data
    elif model.result and of_model is None and model.data == TrainConfig.data:
        of_model = tuple(map(str, range(classes)))  # MNIST's digits
    labels, names, notes = matched(test.y, of_data, of_model, classes, source)
    return replace(test, y=labels), names if model.class_names or of_data else None, notes


def _refuse_other_numbers(result: Result, dataset: Dataset, source: str) -> None:
    """Raise `UserError` if the older program of a run may have given the classes other labels.

    It labelled classes that are called 0 to 11 in the alphabetical order of these names.
    """
    if dataset.sha256() != result.data_sha256:
        raise UserError(
            f"{source} is not the data that the run was trained on, or an older program gave its "
            "classes other labels; train again"
        )


def _refuse_other_images(model: "keras.Model", test: Examples, source: str) -> None:
    taken, shape = model.input_shape[1:], test.x.shape[1:]
    if any(wanted not in (None, is_) for wanted, is_ in zip(taken, shape, strict=True)):
        raise UserError(
            f"the model takes images of {by(taken)} but {source!r} has {by(shape)}; see --data"
        )


def _refuse_other_labels(model: "keras.Model", test: Examples, source: str) -> None:
    classes, highest = model.output_shape[1], int(test.y.max())
    if highest >= (classes or 0):
        raise UserError(
            f"the model has {classes} classes but {source!r} has labels up to {highest}; see --data"
        )


def quicken(model: "keras.Model") -> None:
    """Make `model` predict in its backend's fastest form; outputs change only by rounding."""
    import keras

    from lenet_multi.backends import choice
    from lenet_multi.backends.fast import make_fast

    if keras.backend.backend() in BACKENDS:
        how = choice.here()
        model.jit_compile = how.jit_compile
        make_fast(model, replace(how, form=how.answer_form, xla_loops=False))


def as_json(found: Evaluation) -> dict[str, Any]:
    """Return a classifier's evaluation as `--json` prints it."""
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

    NumPy computes a classifier's loss and accuracy, from logits if the model has them. For other
    models, Keras computes the loss and those metrics that `data.metrics.errors` does not know.
    Metrics are in the order of `compile`.
    """
    import keras

    from lenet_multi.backends.fast import share, shared_by
    from lenet_multi.data.batches import EVALUATION_BATCH_SIZE, Batches
    from lenet_multi.inference.heads import with_logits

    backend = keras.backend.backend()
    feed = backends.module(backend).feed if backend in BACKENDS else (lambda batches: batches)
    batches = Batches(test, batch_size=EVALUATION_BATCH_SIZE, prepare=task.prepare)
    if task.classifies:
        network = with_logits(model)
        if network is not model and shared_by(model) > 1:
            share(network, shared_by(model))
        outputs = network.predict(feed(batches), verbose=0)
        logits = metrics.as_logits(np.asarray(outputs, np.float32))  # a policy may give bfloat16
        accuracy = metrics.count_correct(logits, test.y) / len(test)
        loss = metrics.cross_entropy(logits, test.y)
        return Evaluation(test, logits, loss, {"accuracy": accuracy})
    outputs = keras.tree.map_structure(_stored, model.predict(feed(batches), verbose=0))
    found = model.evaluate(feed(batches), verbose=0, return_dict=True)
    loss = float(found.pop("loss"))
    known = metrics.errors(outputs, test.y)
    order = list(model.get_metrics_result())  # JAX returns `found` in the order of the alphabet
    names = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    named = {name: known.pop(name, float(found[name])) for name in names}
    return Evaluation(test, outputs, loss, named | known)


def _stored(output: Any) -> NDArray[Any]:
    """Return an output as an array of NumPy's own numbers, which bfloat16 is not."""
    array = np.asarray(output)
    return array if array.dtype.kind in NUMBERS else array.astype(np.float32)
