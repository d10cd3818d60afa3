"""The training loop: Keras's `fit`, with the same batches in the same order on every backend."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import keras

from lenet_multi import backends
from lenet_multi.config import TrainConfig
from lenet_multi.data.batches import EVALUATION_BATCH_SIZE, Batches
from lenet_multi.data.examples import Examples
from lenet_multi.errors import StoppedError
from lenet_multi.machine import ranks, signals
from lenet_multi.runs.record import Epoch
from lenet_multi.task import Task
from lenet_multi.training.ahead import Ahead
from lenet_multi.training.callbacks import callbacks
from lenet_multi.training.history import EpochHistory
from lenet_multi.training.progress import ProgressBar
from lenet_multi.training.resume import Keeping, Resumable


@dataclass(frozen=True)
class Fit:
    """What training returns besides the weights."""

    epochs: list[Epoch]
    first_epoch_order_sha256: str


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

    Without `keeping` it writes no files; `quiet` shows no progress. Raises `StoppedError` when a
    signal ended it, after a checkpoint, and `DivergedError` when the loss is not finite.
    """

    def batched(examples: Examples, batch_size: int) -> Batches:
        wanted = replace(examples, y=task.targets(config, examples.y))
        return Batches(wanted, batch_size=batch_size, prepare=task.prepare)

    batches = batched(training, config.batch_size)
    ahead = Ahead(partial(_examples, task, config, training), epochs=config.epochs)
    seen = training  # the stored examples that the batches hold

    def begin(epoch: int) -> None:
        nonlocal seen
        batches.set_epoch(epoch, seed=config.seed)
        if (wanted := ahead[epoch]) is not seen:
            seen = wanted
            batches.examples = replace(wanted, y=task.targets(config, wanted.y))

    validation_data = batched(validation, EVALUATION_BATCH_SIZE)
    backend = backends.module(keras.backend.backend())
    batches.set_epoch(0, seed=config.seed)
    first_epoch_order_sha256 = batches.order_sha256()
    state = keeping.state if keeping else None
    first = state.epoch if state else 0
    steps = len(batches)
    shuffle = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begin(epoch))
    history = EpochHistory(keeping.folder if keeping else None, state)
    bar = ProgressBar(epochs=config.epochs, steps=steps, batch_size=config.batch_size, quiet=quiet)
    parts = [history, shuffle, bar]  # whoever waits for an epoch's images sees it in its seconds
    with ExitStack() as stack:
        stack.enter_context(ahead)
        if keeping:
            asked = callbacks(
                config, keeping.folder, validation_images=len(validation), first_epoch=first
            )
            sample = batched(training[:1], 1)[0]
            resumable = Resumable(keeping, config.save_interval(), history, asked, sample=sample)
            parts += [*asked, resumable]
            stack.enter_context(signals.obeying(resumable.stop))
        stack.enter_context(bar.progress)
        together = stack.enter_context(_once(parts, model, steps=steps, epochs=config.epochs))

        def train(until: int) -> None:
            model.fit(
                backend.training_feed(batches, model),
                initial_epoch=first,
                epochs=until,
                shuffle=False,  # `set_epoch` shuffles
                validation_data=backend.feed(validation_data),
                callbacks=together,
                verbose=0,
            )

        if state and state.steps:  # finish the epoch that was stopped
            batches.skipped = bar.skipped = state.steps
            train(first + 1)
            batches.skipped = 0
            first += 1
        if first < config.epochs and not model.stop_training:
            train(config.epochs)
    if keeping and (number := ranks.agreed(resumable.signal_number or 0)[0]):  # after the last step
        raise StoppedError(number)
    return Fit(history.epochs, first_epoch_order_sha256)


def _examples(task: Task, config: TrainConfig, training: Examples, epoch: int) -> Examples:
    """Return the stored training examples of an epoch, from 0."""
    return task.in_epoch(config, training, epoch) if task.in_epoch else training


@contextmanager
def _once(
    parts: list[keras.callbacks.Callback], model: keras.Model, *, steps: int, epochs: int
) -> Iterator[keras.callbacks.CallbackList]:
    """Yield callbacks that see all `fit` calls of the block as one training."""
    together = keras.callbacks.CallbackList(
        parts, add_history=True, model=model, steps=steps, epochs=epochs
    )
    model.stop_training = False
    together.on_train_begin()
    end = together.on_train_end
    # Each `fit` calls these too.
    together.on_train_begin = together.on_train_end = lambda logs=None: None
    yield together
    end()
