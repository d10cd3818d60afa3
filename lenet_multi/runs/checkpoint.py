"""Checkpoints: what a run needs to continue as if it had never stopped, in files.

A file's name gives the epoch, the step and the SHA-256 of its bytes, which reveals damage.
"""

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.npz import read_npz
from lenet_multi.errors import UserError, reason
from lenet_multi.runs.durable import write_bytes, writing
from lenet_multi.runs.record import NUMBERS, OF_EACH_EPOCH, Epoch, file_sha256
from lenet_multi.runs.schema import wrong_fields

_KEPT = 2  # the last one, and the one before in case the last is damaged
_DIGITS = 16  # of the SHA-256 in a file's name
_MOST_GENERATORS = 1_000  # one for the processor, and one for each GPU


@dataclass(frozen=True)
class State:
    """The state of a training between two steps."""

    epoch: int  # from 0
    steps: int  # done in this epoch
    epochs: list[Epoch]
    epoch_seconds: float
    train_seconds: float
    data_sha256: str
    names: list[str]  # paths of `variables`
    callbacks: dict[str, dict[str, Any]]  # saved state per callback
    variables: list[NDArray[Any]]  # of weights, optimizer and metrics
    best_weights: list[NDArray[Any]]  # of early stopping
    generators: list[NDArray[Any]] = field(default_factory=list)  # PyTorch's own, bytes


_ARRAYS = ("variables", "best_weights", "generators")


def write(folder: Path, state: State) -> None:
    """Add `state` to the checkpoints in `folder`, and keep the last two.

    Raises `UserError` when the disk refuses; earlier checkpoints then stay as they are.
    """
    facts = vars(state) | {name: len(getattr(state, name)) for name in _ARRAYS}
    arrays = {
        f"{name}{index}": array
        for name in _ARRAYS
        for index, array in enumerate(getattr(state, name))
    }
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
    with writing(folder):
        folder.mkdir(exist_ok=True)
        try:
            write_bytes(folder / f"{state.epoch:05d}-{state.steps:08d}-{digest}.npz", content)
            for path in _newest_first(folder)[_KEPT:]:
                path.unlink()
        finally:
            with suppress(OSError):  # it holds a checkpoint and stays
                folder.rmdir()


def read(folder: Path, warn: Callable[[str], None]) -> State | None:
    """Return the newest undamaged state in `folder`; None if no state was written yet.

    Call `warn` with a message for each damaged one. Raises `UserError` when all are damaged.
    """
    found = _newest_first(folder)
    if not found:
        return None
    for path in found:
        try:
            return _read(path)
        except UserError as error:
            warn(f"trying an earlier checkpoint: {error}")
    raise UserError(f"no checkpoint in {folder} can be read; train again with --overwrite")


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.npz"), reverse=True)


def _read(path: Path) -> State:
    if file_sha256(path)[:_DIGITS] != path.stem.rpartition("-")[2]:
        raise UserError(f"{path} is damaged")
    (encoded,) = read_npz(path, ["facts"])
    try:
        facts = json.loads(encoded.tobytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {reason(error)}") from error
    if isinstance(facts, dict):
        facts.setdefault("generators", 0)  # an older program kept none
    if wrong := _wrong(facts):
        raise UserError(f"{path} is damaged at {', '.join(wrong)}")
    for name in _ARRAYS:
        arrays = read_npz(path, [f"{name}{index}" for index in range(facts[name])])
        if not all(array.dtype.kind in NUMBERS for array in arrays):
            raise UserError(f"{path} is damaged at {name}")
        facts[name] = arrays
    return State(**facts)


def _wrong(facts: Any) -> list[str]:
    hints = get_type_hints(State) | dict.fromkeys(_ARRAYS, int)
    if wrong := wrong_fields(facts, hints):
        return wrong
    epochs = facts["epochs"]
    remembered = [value for memory in facts["callbacks"].values() for value in memory.values()]
    right = {
        "epoch": facts["epoch"] >= 0,
        "steps": facts["steps"] >= 0,
        "epochs": all(OF_EACH_EPOCH <= epoch.keys() == epochs[0].keys() for epoch in epochs),
        "variables": facts["variables"] == len(facts["names"]),
        "best_weights": 0 <= facts["best_weights"] <= facts["variables"],
        "generators": 0 <= facts["generators"] <= _MOST_GENERATORS,
        "callbacks": all(isinstance(value, int | float | None) for value in remembered),
    }
    return [name for name, is_right in right.items() if not is_right]
