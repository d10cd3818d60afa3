"""Write a log for TensorBoard on every backend, without TensorFlow.

Keras's own callback imports TensorFlow on every backend (keras#19121). This one writes metrics
under the same names in the same folders, through tensorboardX.
"""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from lenet_multi.data.class_names import Names, shown
from lenet_multi.data.examples import Examples
from lenet_multi.data.metrics import worst_first

_BUCKETS = 30  # of a histogram, as in Keras's callback
_PICTURES = 25  # of wrong answers, at most


class _Log(EventsWriter):  # type: ignore[misc]  # tensorboardX carries no types
    """An event file in `folder`; TensorBoard hides older files' events from `first_step` on.

    tensorboardX's `SummaryWriter` writes in a thread. A full disk ends the thread, and training
    waits for it forever. This class writes without a thread.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(str(folder / "events"), f".{first_step}")
        if first_step:
            self.add(first_step, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, **content: Any) -> None:
        """Write an event: a `summary` or another of its fields."""
        self.write_event(Event(wall_time=time.time(), step=step, **content))


class TensorBoard(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
    """Log each epoch: metrics, learning rate, weights, number of wrong validation images.

    Like Keras's callback it writes to train/ and validation/ in `folder` and counts epochs from 0.
    TensorBoard hides what a resumed run logged earlier of `first_epoch` and later.
    """

    def __init__(self, folder: Path, *, validation_images: int, first_epoch: int = 0) -> None:
        super().__init__()
        self.folder, self.validation_images = folder, validation_images
        self.first_epoch = first_epoch

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the logs."""
        self.train, self.validation = (
            _Log(self.folder / part, self.first_epoch) for part in ("train", "validation")
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the epoch at once."""
        for name, value in (logs or {}).items():
            log = self.validation if name.startswith("val_") else self.train
            tag = f"epoch_{name.removeprefix('val_')}"
            log.add(epoch, summary=summary.scalar(tag, value))
            if name == "val_accuracy":
                wrong = round((1 - value) * self.validation_images)
                log.add(epoch, summary=summary.scalar("epoch_wrong_images", wrong))
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.train.add(epoch, summary=summary.scalar("epoch_learning_rate", rate))
        for weight in self.model.weights:
            values = np.asarray(keras.ops.convert_to_numpy(weight))
            if np.isfinite(values).all():  # others have no histogram
                histogram = summary.histogram(f"{weight.path}/histogram", values, bins=_BUCKETS)
                self.train.add(epoch, summary=histogram)
        self.train.flush()
        self.validation.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the logs."""
        self.train.close()
        self.validation.close()


def log_wrong_answers(
    folder: Path, images: Examples, logits: NDArray[np.float32], names: Names | None = None
) -> None:
    """Add test/ to the log in `folder`: pictures of wrong answers to `images`, the surest first.

    `logits` are (N, classes), in the order of `images`. `names` are those of the classes.
    """
    answers = logits.argmax(axis=1)
    sureness = logits.max(axis=1) - logits[np.arange(len(images)), images.y]
    wrong = answers != images.y
    log = _Log(folder / "test")
    log.add(0, summary=summary.scalar("wrong_images", int(wrong.sum())))
    for index in worst_first(wrong, sureness, _PICTURES):
        label, answer = (
            shown(names, int(of[index])).replace("/", "-") for of in (images.y, answers)
        )
        tag = f"wrong/{label}_taken_for_{answer}_image_{index}"
        log.add(0, summary=summary.image(tag, images.x[index], dataformats="HWC"))
    log.close()
