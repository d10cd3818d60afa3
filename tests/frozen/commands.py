"""Run the same commands with an earlier commit's package and with today's, and find differences.

Both run on this machine, in this environment, one after the other, since bits differ between
processors. A command is a process: nothing of either package is imported here.
"""

import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TIMEOUT = 600.0  # seconds, for a command of ten

# Of a run's record, what is the same whenever and by whichever code it is made.
SAME = (
    "backend",
    "config",
    "data_sha256",
    "execution",
    "final_weights_sha256",
    "first_epoch_order_sha256",
    "initial_weights_sha256",
    "keras_config",
    "parameters",
    "test_accuracy",
    "test_correct",
    "test_images",
    "test_loss",
    "train_images",
    "validation_images",
    "weights",
)
FIGURES = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")  # of an epoch, without seconds


@dataclass(frozen=True)
class Seen:
    """What a command showed: its status, its last line, and what it left."""

    status: int
    last_line: str
    left: dict[str, Any] = field(default_factory=dict)

    def differences(self, other: "Seen") -> Iterator[str]:
        """Yield what differs, by name."""
        if self.status != other.status:
            yield f"status: {self.status} and {other.status}"
        if self.last_line != other.last_line:
            yield f"last line: {self.last_line!r} and {other.last_line!r}"
        for name in sorted({*self.left, *other.left}):
            if self.left.get(name) != other.left.get(name):
                yield f"{name}: {_short(self.left.get(name))} and {_short(other.left.get(name))}"


def _short(value: object) -> str:
    return str(value)[:200]


@dataclass(frozen=True)
class Package:
    """A package to run: the folder that holds it, and the folder that its commands run in."""

    source: Path
    place: Path

    def run(self, arguments: Sequence[str], **environ: str) -> Seen:
        """Run `lenet-multi ARGUMENTS` and return what it showed."""
        done = subprocess.run(
            [sys.executable, "-m", "lenet_multi", *arguments],
            cwd=self.place,
            env=self._environment(**environ),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        lines = (done.stdout if done.returncode < 2 else done.stderr).splitlines()
        out = next((b for a, b in itertools.pairwise(arguments) if a == "--out"), "")
        return Seen(done.returncode, _plain(lines[-1] if lines else ""), _left(self.place / out))

    def interrupt(self, arguments: Sequence[str], kept: Path) -> None:
        """Run a training and end it as soon as it has kept a checkpoint in the folder `kept`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lenet_multi", *arguments],
            cwd=self.place,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + TIMEOUT
        while process.poll() is None and not any((self.place / kept).glob("*.npz")):
            if time.monotonic() > until:
                raise TimeoutError(f"{kept} stayed empty")
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)

    def _environment(self, **environ: str) -> dict[str, str]:
        inherited = {name: v for name, v in os.environ.items() if name != "KERAS_BACKEND"}
        return {**inherited, "PYTHONPATH": str(self.source), **environ}


def _plain(line: str) -> str:
    """Return a line without what differs from time to time: seconds and dates."""
    return re.sub(r"\d+(\.\d+)? s\b|\d{8}-\d{6}", "SOME", line)


def _left(folder: Path) -> dict[str, Any]:
    """Return what a run folder holds that is always the same, by name; nothing of other folders."""
    if not (folder / "result.json").exists():
        return {}
    result: Mapping[str, Any] = json.loads((folder / "result.json").read_text())
    with np.load(folder / "predictions.npz") as file:
        predictions = {name: _digest(file[name]) for name in file.files}
    return {
        "files": sorted(str(path.relative_to(folder)) for path in _lasting(folder)),
        "fields": sorted(result),
        "epochs": [{name: epoch[name] for name in FIGURES} for epoch in result["epochs"]],
        **{name: result[name] for name in SAME},
        **{f"predictions, {name}": digest for name, digest in predictions.items()},
    }


def _lasting(folder: Path) -> Iterator[Path]:
    """Yield the files of a run; TensorBoard names its own by the time."""
    for path in folder.rglob("*"):
        if path.is_file() and "tensorboard" not in path.parts:
            yield path


def _digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]
