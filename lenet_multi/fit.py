"""The training loop: Keras's `fit`, fed the same batches in the same order on every backend."""

from dataclasses import dataclass
from pathlib import Path

import keras

from lenet_multi.batches import EVALUATION_BATCH_SIZE, Batches
from lenet_multi.callbacks import callbacks
from lenet_multi.config import TrainConfig
from lenet_multi.data import ImageSet
from lenet_multi.history import EpochHistory
from lenet_multi.pipeline import feed
from lenet_multi.progress import ProgressBar
from lenet_multi.runs import Epoch


@dataclass(frozen=True)
class Fit:
    """What training leaves besides the weights."""

    epochs: list[Epoch]
    first_epoch_order_sha256: str


def fit(
    model: keras.Model,
    training: ImageSet,
    validation: ImageSet,
    config: TrainConfig,
    *,
    folder: Path | None = None,
    quiet: bool = False,
) -> Fit:
    """Train the compiled `model` in place for the epochs of `config`.

    What the run keeps on the way goes to `folder`, and without one it keeps nothing; `quiet`
    shows no progress.
    """
    one_hot = config.classes if config.loss == "categorical_crossentropy" else None
    batches = Batches(training, batch_size=config.batch_size, classes=one_hot)
    batches.set_epoch(0, seed=config.seed)
    first_epoch_order_sha256 = batches.order_sha256()
    shuffle = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: batches.set_epoch(epoch, seed=config.seed)
    )
    history = EpochHistory(folder)
    asked = callbacks(config, folder, validation_images=len(validation)) if folder else []
    bar = ProgressBar(
        epochs=config.epochs, steps=len(batches), batch_size=config.batch_size, quiet=quiet
    )
    with bar as progress:
        model.fit(
            feed(batches),
            epochs=config.epochs,
            shuffle=False,  # `set_epoch` has shuffled
            validation_data=feed(
                Batches(validation, batch_size=EVALUATION_BATCH_SIZE, classes=one_hot)
            ),
            callbacks=[shuffle, history, *asked, progress],
            verbose=0,
        )
    return Fit(history.epochs, first_epoch_order_sha256)
