"""Go on beyond the end of a finished run, as if it were one more start of it.

The weights and the optimizer come from its model, and all else from its record. A `.keras` file
keeps no random generators, so Dropout draws from its seed again. Early stopping has a new patience.
Early stopping and the best checkpoint go on to compare with the best loss so far.
"""

import shutil
from pathlib import Path

import keras
import numpy as np

from lenet_multi.backends.variables import variables
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Examples
from lenet_multi.own import keras_file
from lenet_multi.runs import checkpoint
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.record import KEPT, MODEL, RESUME, Result
from lenet_multi.task import Task
from lenet_multi.training.resume import name_of
from lenet_multi.training.setup import make_all_variables


def state_after(
    run: Path,
    result: Result,
    model: keras.Model,
    task: Task,
    config: TrainConfig,
    training: Examples,
    folder: Path,
) -> State:
    """Return the state after a finished `run`, from which the compiled `model` trains on.

    `folder` gets copies of what the run kept, and the state as its first checkpoint. Raises
    `UserError` when the run is of another model, or the disk refuses.
    """
    make_all_variables(model, task, config, training)
    keras_file.fill(model, run / MODEL, task.name, optimizer=True)
    losses = [epoch["val_loss"] for epoch in result.epochs]
    best = {"best": min(losses)}
    changed = variables(model)
    state = State(
        epoch=len(result.epochs),
        steps=0,
        epochs=result.epochs,
        epoch_seconds=0.0,
        train_seconds=result.seconds["train"],
        data_sha256=result.data_sha256,
        names=[name_of(variable) for variable in changed],
        callbacks={
            "EarlyStopping": {"wait": 0, "best_epoch": int(np.argmin(losses)), **best},
            "ModelCheckpoint": best,
        },
        variables=[np.array(keras.ops.convert_to_numpy(variable)) for variable in changed],
        # Early stopping has left the best epoch's weights.
        best_weights=model.get_weights() if config.early_stopping else [],
    )
    for name in KEPT:
        if (run / name).exists():
            shutil.copytree(run / name, folder / name, dirs_exist_ok=True)
    checkpoint.write(folder / RESUME, state)
    return state
