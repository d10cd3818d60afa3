"""Write checkpoints at intervals and when a signal comes; continue training from one."""

import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi import backends
from lenet_multi.backends.variables import make_variables, path_of, unnumbered, variables
from lenet_multi.errors import DivergedError, StoppedError, UserError
from lenet_multi.machine import ranks
from lenet_multi.runs import checkpoint
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.record import RESUME
from lenet_multi.training.history import EpochHistory

# State that Keras's callbacks keep between epochs.
_REMEMBERED = {
    "EarlyStopping": ("wait", "best", "best_epoch", "stopped_epoch"),
    "ModelCheckpoint": ("best",),
}


@dataclass(frozen=True)
class Keeping:
    """The run folder, the data's SHA-256, and the state to continue from.

    A process that follows rank 0 (see `machine.ranks`) has no folder.
    """

    folder: Path | None
    data_sha256: str
    state: State | None = None


class Resumable(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
    """Write checkpoints in `keeping.folder` at each `interval`; begin from its state, if any.

    `interval` is (steps, seconds). `history` and the `others` must run before this callback, which
    keeps their state too. `sample` is a training batch (x, y) or (x, y, weights). Raises
    `StoppedError` after a checkpoint when a signal asked for it, and `DivergedError`, without a
    checkpoint, when the loss or a weight is not finite.
    """

    async_safe = True  # if a loss comes later, a thread of Keras's waits for it

    def __init__(
        self,
        keeping: Keeping,
        interval: tuple[float, float],
        history: EpochHistory,
        others: list[keras.callbacks.Callback],
        *,
        sample: tuple[Any, ...],
    ) -> None:
        super().__init__()
        self.interval, self.history, self.others, self.sample = interval, history, others, sample
        self.folder = keeping.folder / RESUME if keeping.folder else None
        self.data_sha256 = keeping.data_sha256
        self.state = state = keeping.state
        self.epoch = state.epoch if state else 0
        self.skipped = state.steps if state else 0  # of the first epoch
        self.earlier_seconds = state.train_seconds if state else 0.0
        self.began = time.perf_counter()
        self.saved_at, self.saved_step = time.monotonic(), 0
        self.signal_number: int | None = None
        self.diverged_at: int | None = None  # the step, from 1

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the state if all epochs are done, since none will begin."""
        if self.epoch == self.params["epochs"]:
            self._take_up()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Restore the state after Keras has built and reset everything."""
        self.epoch = epoch
        self._take_up()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stop or write a checkpoint between two steps, where due."""
        self._pause(self.epoch, self.skipped + batch)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the first step whose loss is not finite; the running mean then stays so."""
        if self.diverged_at is None and not np.isfinite((logs or {}).get("loss", 0.0)):
            # Keras counts beyond the epoch's end.
            self.diverged_at = min(self.skipped + batch + 1, self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop or write a checkpoint between two epochs, where due."""
        self.skipped = 0
        self._raise_if_diverged()
        if epoch + 1 < self.params["epochs"] and not self.model.stop_training:
            self._pause(epoch + 1, 0)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write a checkpoint of all epochs, for the time until the trained model is saved.

        If the disk refuses it, only a run that a signal ends fails.
        """
        epochs = self.params["epochs"]
        if self.saved_step < epochs * self.params["steps"]:
            state = self._state(epochs, 0)
            try:
                self._write(state)
            except UserError:
                if self.signal_number is not None:
                    raise

    def stop(self, number: int, frame: FrameType | None = None) -> None:
        """End training after a checkpoint, as a signal asks; a second signal ends it at once."""
        if self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = number

    def _raise_if_diverged(self) -> None:
        if self.diverged_at is not None:
            raise DivergedError(
                f"the loss is not finite at step {self.diverged_at} of epoch {self.epoch + 1}; "
                "use a smaller --learning-rate"
            )

    def _pause(self, epoch: int, steps: int) -> None:
        self._raise_if_diverged()
        step = epoch * self.params["steps"] + steps
        most_steps, most_seconds = self.interval
        seconds = time.monotonic() - self.saved_at
        due = step - self.saved_step >= most_steps or seconds >= most_seconds
        stopped_by, due = ranks.agreed(self.signal_number or 0, due=due)
        if due or stopped_by:
            self._write(self._state(epoch, steps))
            self.saved_at, self.saved_step = time.monotonic(), step
        if stopped_by:
            raise StoppedError(stopped_by)

    def _take_up(self) -> None:
        if not (state := self.state):
            return
        make_variables(self.model, *self.sample[:2])
        changed = variables(self.model)
        found = [(name_of(variable), tuple(variable.shape)) for variable in changed]
        names = map(unnumbered, state.names)
        kept = [(path, array.shape) for path, array in zip(names, state.variables, strict=True)]
        if found != kept:
            raise UserError(f"{self.folder} is of another model; train again with --overwrite")
        for variable, array in zip(changed, state.variables, strict=True):
            variable.assign(array)
        if keras.backend.backend() == "torch" and state.generators:
            backends.module("torch").set_generators(state.generators)
        if not state.steps:  # the means are those of the epoch before
            self.model.reset_metrics()
        _restore(self.others, state)
        self.saved_step = self.epoch * self.params["steps"] + self.skipped
        self.state = None

    def _write(self, state: State) -> None:
        """Write a checkpoint, if this process leads; all make one, as TensorFlow adds up in it."""
        if self.folder:
            checkpoint.write(self.folder, state)

    def _state(self, epoch: int, steps: int) -> State:
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        changed = variables(self.model)
        arrays = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in changed]
        for variable, array in zip(changed, arrays, strict=True):
            if not np.isfinite(array).all():
                epochs = len(self.history.epochs)
                done = f"step {steps} of epoch {epoch + 1}" if steps else f"epoch {epochs}"
                raise DivergedError(
                    f"{variable.path} is not finite after {done}; use a smaller --learning-rate"
                )
        return State(
            epoch=epoch,
            steps=steps,
            epochs=self.history.epochs,
            epoch_seconds=self.history.epoch_seconds if steps else 0.0,
            train_seconds=self.earlier_seconds + time.perf_counter() - self.began,
            data_sha256=self.data_sha256,
            names=[name_of(variable) for variable in changed],
            callbacks=_remembered(self.others),
            variables=arrays,
            best_weights=_best_weights(self.others),
            generators=_generators(),
        )


def name_of(variable: keras.Variable) -> str:
    """Return a variable's path without the model's or the optimizer's name."""
    return path_of(variable).partition("/")[2]


def _generators() -> list[NDArray[Any]]:
    """Return the random generators that are no variables: PyTorch has some."""
    if keras.backend.backend() != "torch":
        return []
    found: list[NDArray[Any]] = backends.module("torch").generators()
    return found


def _remembered(callbacks: list[keras.callbacks.Callback]) -> dict[str, dict[str, Any]]:
    return {
        name: {attribute: getattr(callback, attribute) for attribute in attributes}
        for callback in callbacks
        if (attributes := _REMEMBERED.get(name := type(callback).__name__))
    }


def _best_weights(callbacks: list[keras.callbacks.Callback]) -> list[NDArray[Any]]:
    best = (getattr(callback, "best_weights", None) for callback in callbacks)
    return next((weights for weights in best if weights is not None), [])


def _restore(callbacks: list[keras.callbacks.Callback], state: State) -> None:
    for callback in callbacks:
        name = type(callback).__name__
        memory = state.callbacks.get(name, {})
        for attribute in memory.keys() & _REMEMBERED.get(name, ()):
            setattr(callback, attribute, memory[attribute])
        if state.best_weights and hasattr(callback, "best_weights"):
            callback.best_weights = state.best_weights
