"""Measure what an engine for several devices costs on this machine: `nox -s study -- overhead`.

A process that an engine starts trains beside one without it; then two logical devices share the
processors that one device has. All take turns. The first epoch compiles, so it is not timed. Other
work on the machine only adds time, so epochs are short, and the quickest one of all rounds counts.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.report import RESULTS, markdown
from lenet_multi.lenet import image_sets
from lenet_multi.machine import children, environment
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.runs.durable import write_json
from lenet_multi.runs.record import read_run

RECORD = RESULTS / "overhead.json"
DATA = "images.npz"
EPOCHS, IMAGES = 30, 6_000
ALONE, STARTED, TWO = "alone", "one process of the engine", "two devices"
ROUNDS = {ALONE: 3, STARTED: 3, TWO: 1}  # two devices take many times as long, which one run tells


@dataclass(frozen=True)
class Way:
    """How a training starts."""

    python: tuple[str, ...] = (sys.executable,)
    variables: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def ways(backend: str) -> dict[str, Way]:
    """Return the ways to train on `backend` on this machine."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")
    place = "127.0.0.1:29517"  # with one process nobody listens there
    task = {"cluster": {"worker": [place]}, "task": {"type": "worker", "index": 0}}
    one = {"JOB_ADDRESSES": place, "NUM_PROCESSES": "1", "PROCESS_ID": "0"}
    started = {
        "torch": Way(python=(sys.executable, *torchrun)),
        "jax": Way(variables={f"KERAS_DISTRIBUTION_{name}": value for name, value in one.items()}),
        "tensorflow": Way(variables={"TF_CONFIG": json.dumps(task)}),
    }
    return {ALONE: Way(), STARTED: started[backend], TWO: Way(flags=("--devices", "2"))}


def write_images(folder: Path) -> None:
    """Write the first images of MNIST for the trainings in `folder`."""
    images = image_sets.load()
    train, test = images.train[:IMAGES], images.test[:IMAGES]
    arrays = {"x_train": train.x, "y_train": train.y, "x_test": test.x, "y_test": test.y}
    np.savez(folder / DATA, **arrays)


def seconds(backend: str, way: Way, folder: Path) -> float:
    """Train the LeNet in `folder`, and return the seconds of the quickest epoch."""
    out = folder / "run"
    words = ["train", "--backend", backend, "--epochs", str(EPOCHS), "--quiet", "--out", str(out)]
    words += ["--data", str(folder / DATA)]
    subprocess.run(
        [*way.python, "-m", "lenet_multi", *words, "--overwrite", *way.flags],
        env={**os.environ, **way.variables},
        check=True,
        capture_output=True,
    )
    return min(epoch["train_seconds"] for epoch in read_run(out).result.epochs[1:])


def rounds(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the seconds of each way on each backend, round by round."""
    wanted = [
        (number, name, way)
        for number in range(max(ROUNDS.values()))
        for name in BACKENDS
        for way, times in ROUNDS.items()
        if number < times
    ]
    with children.bars() as progress:
        for number, backend, way in progress.track(wanted, description="trainings"):
            took = seconds(backend, ways(backend)[way], folder)
            yield {"round": number, "backend": backend, "way": way, "seconds": took}


def ratio(trainings: list[dict[str, Any]], backend: str, way: str) -> float:
    """Return `way`'s time as a multiple of that of one device alone, by their quickest epochs."""

    def quickest(wanted: str) -> float:
        return min(
            float(one["seconds"])
            for one in trainings
            if (one["backend"], one["way"]) == (backend, wanted)
        )

    return quickest(way) / quickest(ALONE)


def overhead_table(record: Mapping[str, Any]) -> str:
    """Return both ways' time as multiples of one device's."""
    rows = [
        [backend, *(f"{ratio(record['trainings'], backend, way):.2f}" for way in (STARTED, TWO))]
        for backend in BACKENDS
    ]
    return markdown(["backend", STARTED, TWO], rows)


def main() -> int:
    """Measure, and keep the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--out", type=Path, default=RECORD, help="JSON to write")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        write_images(Path(folder))
        trainings = list(rounds(Path(folder)))
    versions = {k: v for name in BACKENDS for k, v in environment.versions(name).items()}
    record = {"machine": environment.machine(), "versions": versions, "trainings": trainings}
    write_json(asked.out, record)
    print(overhead_table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
