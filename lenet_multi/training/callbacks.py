"""The callbacks that a run's settings ask for: Keras's own where they work."""

from pathlib import Path

import keras

from lenet_multi.config import TrainConfig
from lenet_multi.machine.frameworks import OthersLeftOut
from lenet_multi.runs.record import CHECKPOINTS, TENSORBOARD

_WATCHED = "val_loss"  # by early stopping and for the best checkpoint


def callbacks(
    config: TrainConfig, folder: Path | None, *, validation_images: int, first_epoch: int = 0
) -> list[keras.callbacks.Callback]:
    """Return callbacks that write to `folder`, if any; training starts at `first_epoch`, from 0."""
    asked: list[keras.callbacks.Callback] = []
    if folder and config.checkpoint != "none":
        best = config.checkpoint == "best"
        path = folder / CHECKPOINTS / ("best.keras" if best else "epoch-{epoch:03d}.keras")
        asked.append(
            keras.callbacks.ModelCheckpoint(str(path), monitor=_WATCHED, save_best_only=best)
        )
    if config.early_stopping:
        asked.append(
            keras.callbacks.EarlyStopping(
                monitor=_WATCHED, patience=config.early_stopping, restore_best_weights=True
            )
        )
    if folder and config.tensorboard:
        with OthersLeftOut(keras.backend.backend()):
            from lenet_multi.training.tensorboard import TensorBoard

        log = folder / TENSORBOARD
        asked.append(TensorBoard(log, validation_images=validation_images, first_epoch=first_epoch))
    return asked
