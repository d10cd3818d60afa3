"""Recognise images whose rows and columns are exchanged, as in EMNIST's files."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data import metrics
from lenet_multi.data.examples import are_pictures
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras

    from lenet_multi.inference.evaluate import Evaluation

_LOW = 0.5  # accuracy; with a higher one, nothing is tried
_GAIN = 0.3  # of accuracy; a smaller one may be chance, or classes that look alike transposed
_ASKED = 1000  # images; their accuracy has a standard deviation of at most 0.016
_BATCH = 500
_REMEDY = "give --transpose, as for EMNIST's files; if the model learned from such, train with it"


def hint(
    model: "keras.Model", task: Task, found: "Evaluation", *, transpose: bool
) -> tuple[str, ...]:
    """Return what to say when `model` reads the images of `found` far better transposed.

    `transpose`: whether the user has transposed them already.
    """
    x = found.test.x
    accuracy = found.metrics["accuracy"]
    if accuracy > _LOW or not are_pictures(x) or x.shape[1] != x.shape[2]:
        return ()
    asked = _spread(len(x))
    exchanged = np.ascontiguousarray(x[asked].swapaxes(1, 2))
    outputs: Any = model.predict(task.prepare(exchanged), batch_size=_BATCH, verbose=0)
    logits = np.asarray(outputs, np.float32)
    other = metrics.count_correct(logits, found.test.y[asked]) / len(asked)
    if other < max(_LOW, accuracy + _GAIN):
        return ()
    remedy = "drop --transpose" if transpose else _REMEDY
    return (
        f"the model answers {accuracy:.1%} of these images right, but {other:.1%} of "
        f"{len(asked):,} of them with rows and columns exchanged: {remedy}",
    )


def _spread(count: int) -> NDArray[np.int64]:
    """Return at most `_ASKED` places among `count` examples, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, _ASKED)).astype(np.int64))
