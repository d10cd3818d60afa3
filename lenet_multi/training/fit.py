"""The training loop: Keras's `fit`, fed the same batches in the same order on every backend."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras

from lenet_multi import backends
from lenet_multi.config import TrainConfig
from lenet_multi.data.batches import EVALUATION_BATCH_SIZE, Batches
from lenet_multi.data.examples import Examples
from lenet_multi.errors import StoppedError
from lenet_multi.machine import signals
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.record import RESUME, Epoch
from lenet_multi.task import Task
from lenet_multi.training.callbacks import callbacks
from lenet_multi.training.history import EpochHistory
from lenet_multi.training.progress import ProgressBar
from lenet_multi.training.resume import Resumable


@dataclass(frozen=True)
class Fit:
    """What training leaves besides the weights."""

    epochs: list[Epoch]
    first_epoch_order_sha256: str


@dataclass(frozen=True)
class Keeping:
    """Where a run keeps what it keeps on the way, of which data, and what it goes on from."""

    folder: Path
    data_sha256: str
    state: State | None = None


def fit(
    model: keras.Model,
    task: Task,
    training: Examples,
    validation: Examples,
    config: TrainConfig,
    *,
    keeping: Keeping | None = None,
    quiet: bool = False,
) -> Fit:
    """Train the compiled `model` of `task` in place for the epochs of `config`.

    Without `keeping` nothing is kept on the way; `quiet` shows no progress.

    Raises `StoppedError` when a signal ended it, with all kept that it takes to go on, and
    `DivergedError` when the loss is no number any more.
    """

    def batched(examples: Examples, batch_size: int) -> Batches:
        wanted = Examples(examples.x, task.targets(config, examples.y))
        return Batches(wanted, batch_size=batch_size, prepare=task.prepare)

    batches = batched(training, config.batch_size)
    validation_data = batched(validation, EVALUATION_BATCH_SIZE)
    backend = backends.module(keras.backend.backend())
    batches.set_epoch(0, seed=config.seed)
    first_epoch_order_sha256 = batches.order_sha256()
    state = keeping.state if keeping else None
    steps = len(batches)
    shuffle = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: batches.set_epoch(epoch, seed=config.seed)
    )
    history = EpochHistory(keeping.folder if keeping else None, state)
    bar = ProgressBar(epochs=config.epochs, steps=steps, batch_size=config.batch_size, quiet=quiet)
    parts = [shuffle, history, bar]
    with ExitStack() as stack:
        if keeping:
            asked = callbacks(
                config,
                keeping.folder,
                validation_images=len(validation),
                first_epoch=state.epoch if state else 0,
            )
            resumable = Resumable(
                keeping.folder / RESUME,
                config.save_interval(),
                history,
                asked,
                sample=batched(training[:1], 1)[0],
                data_sha256=keeping.data_sha256,
                state=state,
            )
            parts += [*asked, resumable]
            stack.enter_context(signals.obeying(resumable.stop))
        stack.enter_context(bar)
        together = stack.enter_context(_once(parts, model, steps=steps, epochs=config.epochs))
        first = state.epoch if state else 0

        def train(until: int) -> None:
            model.fit(
                backend.training_feed(batches, model),
                initial_epoch=first,
                epochs=until,
                shuffle=False,  # `set_epoch` has shuffled
                validation_data=backend.feed(validation_data),
                callbacks=together,
                verbose=0,
            )

        if state and state.steps:  # the rest of the epoch in which it was
            batches.skipped = bar.skipped = state.steps
            train(first + 1)
            batches.skipped = 0
            first += 1
        if first < config.epochs and not model.stop_training:
            train(config.epochs)
    if keeping and resumable.signal_number is not None:  # it came after the last step
        raise StoppedError(resumable.signal_number)
    return Fit(history.epochs, first_epoch_order_sha256)


class _Silent(keras.callbacks.CallbackList):  # type: ignore[misc]  # Keras carries no types
    """Callbacks that are not told where a `fit` begins and ends."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Say nothing."""

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Say nothing."""


@contextmanager
def _once(
    parts: list[keras.callbacks.Callback], model: keras.Model, *, steps: int, epochs: int
) -> Iterator[keras.callbacks.CallbackList]:
    """Give callbacks that take all `fit`s of the block for one training."""
    together = _Silent(parts, add_history=True, model=model, steps=steps, epochs=epochs)
    model.stop_training = False
    keras.callbacks.CallbackList.on_train_begin(together)
    yield together
    keras.callbacks.CallbackList.on_train_end(together)
