"""What `train --resume RUN --epochs N` reads of a finished run."""

import dataclasses
from pathlib import Path
from typing import Any

from lenet_multi.config import TASKS, TrainConfig, flag
from lenet_multi.errors import UserError
from lenet_multi.inference.with_code import is_foreign
from lenet_multi.runs.earlier import Earlier, of_run, refuse_other_split
from lenet_multi.runs.record import read_run

_MAY_BE_GIVEN = {"epochs", "architecture", "data"}  # the data's bytes must be the same


def beyond(run: Path, given: dict[str, Any]) -> tuple[TrainConfig, list[Earlier]]:
    """Return settings to train on after a finished `run`, and all finished runs, `run` the last.

    Raises `UserError` when there are no epochs to add, for settings other than epochs, and when the
    user does not name the code that the run is of.
    """
    for name in given.keys() - _MAY_BE_GIVEN:
        raise UserError(f"--resume keeps the run's settings; drop {flag(name)}")
    result = read_run(run).result
    refuse_other_split(result.config, run)
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    recorded = {name: value for name, value in result.config.items() if name in known}
    epochs = len(result.epochs)
    if given["epochs"] <= epochs:
        raise UserError(f"{run} has trained {epochs} epochs; give --epochs above {epochs}")
    config = TrainConfig(**{**recorded, **given})
    own = TrainConfig(**recorded).architecture
    if own in TASKS and config.architecture != own:
        raise UserError(f"{run} is of {own}, not of {config.architecture}; drop MODEL")
    if ":" in own and "architecture" not in given:
        raise UserError(
            f"{run} is of {own}, whose code a saved run may not start; give it as MODEL too: "
            f"lenet-multi train {own} --resume {run} --epochs {config.epochs}"
        )
    if config.is_own and "data" not in given and is_foreign(config.data, config.architecture):
        raise UserError(
            f"{run} was trained on {config.data}, code that a saved run may not start; give --data "
            f"{config.data}"
        )
    return config, [*result.earlier, of_run(run, result)]
