"""What every kind of harm needs: data, undisturbed runs, and a count of what was lost."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from lenet_multi.lenet import image_sets
from lenet_multi.runs.record import read_run

IMAGES = 3000  # few, so a run is short and most kills hit it while it writes
EPOCHS = 4
SETTINGS = (
    *("--epochs", str(EPOCHS), "--batch-size", "32"),  # several executions per epoch
    *("--save-every", "2", "--tensorboard", "--quiet"),
)


@dataclass
class Fault:
    """A kind of harm: how often it was done, and what was lost."""

    name: str
    injected: int = 0
    lost: list[str] = field(default_factory=list)

    def note(self, lost: str | None) -> None:
        """Count one more harm, and what it lost, if anything."""
        self.injected += 1
        self.lost += [lost] if lost else []


@dataclass(frozen=True)
class Trial:
    """A folder to run in, the data, and the results of an undisturbed run on each backend."""

    folder: Path
    data: Path
    undisturbed: dict[str, dict[str, Any]]
    seconds: dict[str, float]

    def train(self, backend: str, out: Path, *flags: str) -> list[str]:
        """Return the command that trains into `out`."""
        return [
            *(sys.executable, "-m", "lenet_multi", "train", "--backend", backend),
            *("--data", str(self.data), "--out", str(out), *SETTINGS, *flags),
        ]


def outcome(out: Path) -> dict[str, Any]:
    """Return everything in a run that must be equal between runs: all except times."""
    run = read_run(out)
    timed = {"train_seconds", "validation_seconds"}
    return {
        "weights": run.result.final_weights_sha256,
        "epochs": [{k: v for k, v in dict(e).items() if k not in timed} for e in run.result.epochs],
        "logits": run.outputs.tobytes(),
    }


def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, for at most five minutes."""
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def prepare(folder: Path, backends: tuple[str, ...]) -> Trial:
    """Train an undisturbed run on each backend."""
    mnist = image_sets.load()
    npz = folder / "small.npz"
    np.savez(
        npz,
        x_train=mnist.train.x[:IMAGES],
        y_train=mnist.train.y[:IMAGES],
        x_test=mnist.test.x[:500],
        y_test=mnist.test.y[:500],
    )
    trial = Trial(folder, npz, {}, {})
    for backend in track(backends, "undisturbed runs", console=Console(stderr=True)):
        out = folder / backend
        began = time.monotonic()
        done = run(trial.train(backend, out))
        assert done.returncode == 0, done.stderr
        trial.seconds[backend] = time.monotonic() - began
        trial.undisturbed[backend] = outcome(out)
    return trial
