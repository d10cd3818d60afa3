"""The record of a run: what is in its folder, writing it whole, reading it.

| file | content |
|---|---|
| `result.json` | a `Result`: settings, versions, counts, hashes, figures, seconds; signed |
| `history.csv` | a row for each epoch |
| `model.keras` | the trained model; loads in plain Keras on any backend |
| `predictions.npz` | a classifier's test `logits` (N, classes) float32 and `labels` (N,) uint8 |
| | another model's test `outputs` and `targets` (N, ...) |
| `checkpoints/` | models kept on the way, where asked for |
| `tensorboard/` | a log for TensorBoard, where asked for |
"""

import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.npz import read_npz
from lenet_multi.errors import UserError
from lenet_multi.runs.durable import check_record, write_record, writing
from lenet_multi.runs.schema import fits, wrong_fields

# A classifier's record has no `test_metrics`, so that older programs read it.
OF_CLASSIFIERS, SCHEMA_VERSION = 4, 5

RESULT, HISTORY = "result.json", "history.csv"
MODEL, PREDICTIONS = "model.keras", "predictions.npz"
FILES = RESULT, HISTORY, MODEL, PREDICTIONS
KEPT = CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
# Of a run that is not whole yet: see `journal` and `checkpoint`.
JOURNAL, RESUME = "journal.json", "resume"

# One epoch: its number from 1 (`epoch`); Keras's figures by their names, such as `loss` and
# `val_accuracy`, those of training as means over the epoch; `train_seconds`, `validation_seconds`.
Epoch = dict[str, float]
NUMBERS = "fiub"  # kinds of NumPy's types
OF_EACH_EPOCH = {"epoch", "loss", "val_loss", "train_seconds", "validation_seconds"}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What `result.json` records of a run.

    `test_correct` and `test_accuracy` are a classifier's; `test_metrics` are the other metrics, by
    Keras's names. `starts` are those of its journal, `files_sha256` are of all other files, once
    written.
    """

    schema_version: int
    backend: str
    versions: dict[str, str]
    machine: dict[str, Any]
    device: str
    threads: int
    keras_config: dict[str, Any]
    execution: dict[str, Any]
    config: dict[str, Any]
    data_sha256: str
    train_images: int
    validation_images: int
    test_images: int
    parameters: int
    weights: list[dict[str, Any]]
    initial_weights_sha256: str
    first_epoch_order_sha256: str
    final_weights_sha256: str
    epochs: list[Epoch]
    test_correct: int | None
    test_accuracy: float | None
    test_loss: float
    seconds: dict[str, float]
    peak_memory_bytes: int
    test_metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    starts: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    files_sha256: dict[str, str] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what `result.json` and `--json` hold: all fields, but `test_metrics` if empty."""
        content = dataclasses.asdict(self)
        return {name: v for name, v in content.items() if name != "test_metrics" or v}

    @property
    def classifies(self) -> bool:
        """Whether the model is a classifier, whose right answers were counted."""
        return self.test_correct is not None

    @property
    def headline(self) -> tuple[str, float]:
        """The name of the first metric, and what it is on the test set; the loss where none is."""
        if self.test_accuracy is not None:
            return "accuracy", self.test_accuracy
        return next(iter(self.test_metrics.items()), ("loss", self.test_loss))


@dataclass(frozen=True)
class Run:
    """A run folder as read: its place, its result, and the test set's outputs and targets.

    A classifier's outputs are logits, and its targets labels.
    """

    folder: Path
    result: Result
    outputs: NDArray[Any]
    targets: NDArray[Any]


def write_run(run: Run, save_model: Callable[[str], None]) -> Result:
    """Fill the draft `run.folder` and return the result as it is recorded there.

    `save_model` writes the `.keras` file to the path it is given. Raises `UserError` when the disk
    refuses.
    """
    draft, result = run.folder, run.result
    with writing(draft):
        save_model(str(draft / MODEL))
        outputs, targets = _predicted(result)
        arrays: dict[str, Any] = {outputs: run.outputs, targets: run.targets}
        np.savez(draft / PREDICTIONS, **arrays)
        write_history(draft, result.epochs)
        to_go_on = {draft / RESUME, draft / JOURNAL}  # until the run is in its place
        hashes = {
            str(path.relative_to(draft)): file_sha256(path)
            for path in sorted(draft.rglob("*"))
            if path.is_file() and not {path, path.parent} & to_go_on
        }
        result = dataclasses.replace(result, files_sha256=hashes)
        write_record(draft / RESULT, result.as_json())
    return result


def write_history(draft: Path, epochs: list[Epoch]) -> None:
    """Write history.csv: a header, and a row for each epoch."""
    with (draft / HISTORY).open("w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(epochs[0]))
        table.writeheader()
        table.writerows(epochs)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; raise `UserError` if unreadable."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def read_run(folder: Path) -> Run:
    """Return the run in `folder`, without Keras.

    Raises `UserError` when a file is missing or damaged, or the files do not belong together.
    """
    for name in FILES:
        if not os.path.isfile(folder / name):  # False, not an error, where reading is forbidden
            raise UserError(f"{folder} is no run folder: it has no readable {name}")
    result = read_result(folder / RESULT)
    for name, digest in result.files_sha256.items():
        if not os.path.isfile(folder / name):
            raise UserError(f"{folder} lacks {name}, which {RESULT} records; train again")
        if file_sha256(folder / name) != digest:
            raise UserError(
                f"{folder / name} has another hash than {RESULT} records: it is damaged or of "
                "another run; train again"
            )
    run = Run(folder, result, *read_npz(folder / PREDICTIONS, _predicted(result)))
    _refuse_foreign(run)
    return run


def _predicted(result: Result) -> tuple[str, str]:
    """Return what the arrays of the outputs and the targets are called."""
    return ("logits", "labels") if result.classifies else ("outputs", "targets")


def _refuse_foreign(run: Run) -> None:
    """Refuse arrays that cannot be of the run that `run.result` records."""
    result, outputs, targets = run.result, run.outputs, run.targets
    path, count = run.folder / PREDICTIONS, result.test_images
    if result.classifies:
        logits = (np.dtype(np.float32), (count, result.config.get("classes")))
        labels = (np.dtype(np.uint8), (count,))
        fit = ((outputs.dtype, outputs.shape), (targets.dtype, targets.shape)) == (logits, labels)
        found = f"logits {outputs.shape}, labels {targets.shape} for {count} test images"
    else:
        arrays = (outputs, targets)
        fit = all(one.shape[:1] == (count,) and one.dtype.kind in NUMBERS for one in arrays)
        shown = f"outputs {outputs.dtype} {outputs.shape}, targets {targets.dtype} {targets.shape}"
        found = f"{shown} for {count} test examples"
    if not fit:
        raise UserError(f"{path} is not of the run in {RESULT}: {found}; train again")
    if result.classifies and (highest := int(targets.max())) >= outputs.shape[1]:
        raise UserError(
            f"{path} is damaged: a label is {highest}, of {outputs.shape[1]} classes from 0 on; "
            "train again"
        )
    if not np.isfinite(outputs).all():
        raise UserError(
            f"{run.folder} is of a run that diverged: its {_predicted(result)[0]} are not all "
            "finite numbers"
        )


def read_result(path: Path) -> Result:
    """Return what is recorded at `path`; `UserError` if missing, damaged or of another schema."""
    try:
        content = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}; train again") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version not in (OF_CLASSIFIERS, SCHEMA_VERSION):
        remedy = "train again"
        if isinstance(version, int) and version > SCHEMA_VERSION:
            remedy = "it was written by a newer lenet-multi: pip install --upgrade lenet-multi"
        raise UserError(
            f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}; {remedy}"
        )
    content = {"test_metrics": {}, **check_record(path, content)}
    if wrong := _wrong_parts(content):
        raise UserError(f"{path} is damaged at {', '.join(wrong)}; train again")
    return Result(**content)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which a run that diverged leaves."""
    raise ValueError(f"it holds {name}: the run diverged")


def _wrong_parts(content: dict[str, Any]) -> list[str]:
    """Return the names of what cannot be so in a `Result`'s content, and is not to be relied on."""
    wrong = wrong_fields(content, get_type_hints(Result)) or [
        f"epochs: {', '.join(sorted(lacking))}"
        for epoch in content["epochs"]
        if (lacking := OF_EACH_EPOCH - epoch.keys())
    ]
    if wrong:
        return wrong
    config, recorded = content["config"], {Path(name) for name in content["files_sha256"]}
    settings = {name: hint for name, hint in get_type_hints(TrainConfig).items() if name in config}
    sound = {
        "epochs": content["epochs"],
        "test_images": content["test_images"] > 0,
        "files_sha256": recorded >= {Path(name) for name in FILES if name != RESULT}
        and not any(name.is_absolute() or ".." in name.parts for name in recorded),
        "config": all(name in config for name in ("data", "classes"))
        and all(fits(config[name], hint) for name, hint in settings.items()),
    }
    return [name for name, is_sound in sound.items() if not is_sound]
