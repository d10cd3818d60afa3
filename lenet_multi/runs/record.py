"""The record of a run: the files of its folder, how to write them, how to read them without Keras.

| file | content |
|---|---|
| `result.json` | a `Result`: settings, versions, counts, hashes, figures, seconds; its SHA-256 |
| `history.csv` | a row for each epoch |
| `model.keras` | the trained model; loads in plain Keras on any backend |
| `predictions.npz` | a classifier's test `logits` (N, classes) float32 and `labels` (N,) integers |
| | another model's test `outputs` and `targets` (N, ...) |
| | with several outputs `outputs.NAME` and `targets.NAME`; the place is the name in a list |
| `checkpoints/` | models saved during training, if asked for |
| `tensorboard/` | a log for TensorBoard, if asked for |
"""

import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import numpy as np
from rich.table import Table

from lenet_multi.config import DIGIT, INPUT_RANGES, PREPARED, TASKS, TrainConfig
from lenet_multi.data.examples import Arrays, named, parts
from lenet_multi.data.npz import read_side
from lenet_multi.errors import UserError, cannot_read
from lenet_multi.runs.durable import check_record, write_record, writing
from lenet_multi.runs.schema import fits, wrong_fields
from lenet_multi.runs.shown import Shown

# Older programs wrote version 4 for classifiers, without `test_metrics`, and 5 for other models.
# Of `_MAY_BE_MISSING`, all fields but `test_metrics` came with version 6.
VERSIONS = (4, 5, 6)
SCHEMA_VERSION = VERSIONS[-1]

RESULT, HISTORY = "result.json", "history.csv"
MODEL, PREDICTIONS = "model.keras", "predictions.npz"
FILES = RESULT, HISTORY, MODEL, PREDICTIONS
KEPT = CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
# Of an unfinished run: see `journal` and `checkpoint`.
JOURNAL, RESUME = "journal.json", "resume"

# The figures of one epoch: `epoch`, its number from 1; `train_seconds`; `validation_seconds`; and
# Keras's, such as `loss` and `val_accuracy`. Those of training are means over the epoch.
Epoch = dict[str, float]
NUMBERS = "fiub"  # the `dtype.kind` of NumPy's numbers
# Fields that older records lack; a record leaves them out if they are empty.
_MAY_BE_MISSING: dict[str, type] = {
    "test_metrics": dict,
    "inputs": dict,
    "class_counts": dict,
    "class_names": list,
    "earlier": list,
    "start_from": dict,
    "class_weights": dict,
}
OF_EACH_EPOCH = {"epoch", "loss", "val_loss", "train_seconds", "validation_seconds"}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What `result.json` records of a run."""

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
    test_correct: int | None  # None without a classifier
    test_accuracy: float | None  # None without a classifier
    test_loss: float
    seconds: dict[str, float]
    peak_memory_bytes: int | None  # None on Windows
    test_metrics: dict[str, float] = field(default_factory=dict)  # the others, by Keras's names
    inputs: dict[str, str] = field(default_factory=dict)  # how they are made; see `Task.inputs`
    # Of a classifier: examples by label, of "training" and "validation".
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    class_names: list[str] = field(default_factory=list)  # by label; empty: labels are the names
    starts: list[dict[str, Any]] = field(default_factory=list)  # see `journal.Journal`
    earlier: list[dict[str, Any]] = field(default_factory=list)  # see `runs.earlier`
    start_from: dict[str, str] = field(default_factory=dict)  # path and SHA-256 of the model file
    class_weights: dict[str, float] = field(default_factory=dict)  # in the training loss, by label
    files_sha256: dict[str, str] = field(default_factory=dict)  # of all other files, once written

    def as_json(self) -> dict[str, Any]:
        """Return the content of `result.json` and `--json`; some fields are left out if empty."""
        content = dataclasses.asdict(self)
        return {name: v for name, v in content.items() if name not in _MAY_BE_MISSING or v}

    @property
    def classifies(self) -> bool:
        """Whether the model is a classifier; only for one were correct answers counted."""
        return self.test_correct is not None

    @property
    def headline(self) -> tuple[str, float]:
        """The name and test value of the first metric, or of the loss if there is no metric."""
        if self.test_accuracy is not None:
            return "accuracy", self.test_accuracy
        return next(iter(self.test_metrics.items()), ("loss", self.test_loss))


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """The content of a run folder."""

    folder: Path
    result: Result
    outputs: Arrays  # of the test examples; a classifier's are logits
    targets: Arrays  # of the test examples; a classifier's are labels

    def tables(self) -> list[Table]:
        """Return a table of the run's figures."""
        from lenet_multi.runs.comparison import results_table  # it imports this module

        return [results_table([self])]

    @property
    def sentence(self) -> str:
        """Which model was trained, and where the run is."""
        return f"{self.result.config.get('architecture')}, trained, is in {self.folder}."


def write_run(run: Run, save_model: Callable[[str], None]) -> Result:
    """Fill the draft `run.folder` and return the result as recorded there.

    `save_model` writes a `.keras` file to a path. Raises `UserError` when the disk refuses.
    """
    draft, result = run.folder, run.result
    with writing(draft):
        save_model(str(draft / MODEL))
        arrays: dict[str, Any] = {
            f"{side}.{name}" if name else side: array
            for side, several in zip(_sides(result), (run.outputs, run.targets), strict=True)
            for name, array in named(several).items()
        }
        np.savez(draft / PREDICTIONS, **arrays)
        write_history(draft, result.epochs)
        temporary = {draft / RESUME, draft / JOURNAL}  # deleted once the run is in its place
        hashes = {
            str(path.relative_to(draft)): file_sha256(path)
            for path in sorted(draft.rglob("*"))
            if path.is_file() and not {path, path.parent} & temporary
        }
        result = dataclasses.replace(result, files_sha256=hashes)
        write_record(draft / RESULT, result.as_json())
    return result


def write_history(draft: Path, epochs: list[Epoch]) -> None:
    """Write history.csv: a header and one row per epoch."""
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
        raise UserError(cannot_read(path, error)) from error


def read_run(folder: Path) -> Run:
    """Return the run in `folder`; raise `UserError` if a file is missing, damaged or foreign."""
    for name in FILES:
        if not os.path.isfile(folder / name):  # unlike Path.is_file, False if forbidden
            raise UserError(f"{folder} is no run folder: it has no readable {name}; give another")
    result = read_result(folder / RESULT)
    for name, digest in result.files_sha256.items():
        if not os.path.isfile(folder / name):
            raise UserError(f"{folder} lacks {name}, which {RESULT} records; train again")
        if file_sha256(folder / name) != digest:
            raise UserError(
                f"{folder / name} has another hash than {RESULT} records: it is damaged or of "
                "another run; train again"
            )
    outputs, targets = (read_side(folder / PREDICTIONS, side) for side in _sides(result))
    run = Run(folder, result, outputs, targets)
    _refuse_foreign(run)
    return run


def _sides(result: Result) -> tuple[str, str]:
    return ("logits", "labels") if result.classifies else ("outputs", "targets")


def _classes(run: Run) -> int:
    """Return how many classes a classifier has: the package's own as configured, others any."""
    if run.result.config.get("architecture", TrainConfig.architecture) in TASKS:
        return int(run.result.config["classes"])
    return int(run.outputs.shape[-1]) if run.outputs.ndim == 2 else 0


def _refuse_foreign(run: Run) -> None:
    result, outputs, targets = run.result, run.outputs, run.targets
    path, count = run.folder / PREDICTIONS, result.test_images
    if result.classifies:
        of_labels = targets.dtype.kind in "iu" and targets.shape == (count,)
        fit = of_labels and outputs.dtype == np.float32 and outputs.shape == (count, _classes(run))
        found = f"logits {outputs.shape}, labels {targets.shape} for {count} test images"
    else:
        arrays = [*parts(outputs), *parts(targets)]
        fit = all(one.shape[:1] == (count,) and one.dtype.kind in NUMBERS for one in arrays)
        shown = ", ".join(f"{one.dtype} {one.shape}" for one in arrays)
        found = f"outputs and targets {shown} for {count} test examples"
    if not fit:
        raise UserError(f"{path} is not of the run in {RESULT}: {found}; train again")
    if result.class_names and len(result.class_names) != outputs.shape[1]:
        raise UserError(
            f"{run.folder / RESULT} is damaged: it names {len(result.class_names)} classes of "
            f"{outputs.shape[1]}; train again"
        )
    for label in (int(targets.min()), int(targets.max())) if result.classifies else ():
        if not 0 <= label < outputs.shape[1]:
            raise UserError(
                f"{path} is damaged: a label is {label}, but labels end at {outputs.shape[1] - 1}; "
                "train again"
            )
    if not all(np.isfinite(one).all() for one in parts(outputs)):
        raise UserError(
            f"{run.folder} is of a run that diverged: its {_sides(result)[0]} are not all "
            "finite numbers; train again with a smaller --learning-rate"
        )


def read_result(path: Path) -> Result:
    """Return the record at `path`; raise `UserError` if missing, damaged or of another schema."""
    try:
        content = json.loads(path.read_text(), parse_constant=_refuse_nan)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}; train again") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version not in VERSIONS:
        remedy = "train again"
        if isinstance(version, int) and version > SCHEMA_VERSION:
            remedy = "install a newer lenet-multi: pip install --upgrade lenet-multi"
        raise UserError(
            f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}; {remedy}"
        )
    missing = {name: kind() for name, kind in _MAY_BE_MISSING.items()}
    content = missing | check_record(path, content)
    if wrong := _wrong_parts(content):
        raise UserError(f"{path} is damaged at {', '.join(wrong)}; train again")
    return Result(**content)


def _refuse_nan(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}: the run diverged")


def _wrong_parts(content: dict[str, Any]) -> list[str]:
    """Return the names of fields that no `Result` can have like this, so that none is trusted."""
    wrong = wrong_fields(content, get_type_hints(Result)) or [
        f"epochs: {', '.join(sorted(lacking))}"
        for epoch in content["epochs"]
        if (lacking := OF_EACH_EPOCH - epoch.keys())
    ]
    if wrong:
        return wrong
    config, inputs = content["config"], content["inputs"]
    recorded = {Path(name) for name in content["files_sha256"]}
    settings = {name: hint for name, hint in get_type_hints(TrainConfig).items() if name in config}
    sound = {
        "epochs": content["epochs"],
        "earlier": all(fits(one.get("epochs"), int) for one in content["earlier"]),
        "test_images": content["test_images"] > 0,
        "inputs": inputs.get("prepared", DIGIT) in PREPARED
        and inputs.get("range", INPUT_RANGES[0]) in INPUT_RANGES,
        "class_names": len({*content["class_names"]}) == len(content["class_names"])
        and (content["test_correct"] is not None or not content["class_names"]),
        "files_sha256": recorded >= {Path(name) for name in FILES if name != RESULT}
        and not any(name.is_absolute() or ".." in name.parts for name in recorded),
        "config": all(name in config for name in ("data", "classes"))
        and all(fits(config[name], hint) for name, hint in settings.items()),
    }
    return [name for name, is_sound in sound.items() if not is_sound]
