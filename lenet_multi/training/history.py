"""Record each epoch's metrics and seconds."""

import time
from pathlib import Path
from typing import Any

import keras

from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.record import Epoch, write_history


class EpochHistory(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
    """Add an `Epoch` at each epoch's end to `epochs` and to the history in `folder`."""

    def __init__(self, folder: Path | None = None, state: State | None = None) -> None:
        super().__init__()
        self.folder = folder
        self.epochs: list[Epoch] = [*state.epochs] if state else []
        self.earlier_seconds = state.epoch_seconds if state else 0.0  # before it was resumed
        self._began = self._trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the epoch's clock."""
        self._began = time.perf_counter() - self.earlier_seconds
        self.earlier_seconds = 0.0

    @property
    def epoch_seconds(self) -> float:
        """Training seconds of the current epoch."""
        return time.perf_counter() - self._began

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Stop the training clock when the last step is computed."""
        keras.ops.convert_to_numpy(self.model.optimizer.iterations)  # JAX's steps return before
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the epoch and write the history."""
        figures = logs or {}
        metrics = [name for name in figures if name != "loss" and not name.startswith("val_")]
        names = ["loss", *metrics]
        self.epochs.append(
            {
                "epoch": epoch + 1,
                **{name: figures[name] for name in (*names, *(f"val_{name}" for name in names))},
                "train_seconds": self._trained - self._began,
                "validation_seconds": time.perf_counter() - self._trained,
            }
        )
        if self.folder:
            write_history(self.folder, self.epochs)
