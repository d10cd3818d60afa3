"""Workers of a cluster are killed: the study must end complete, and equal to the bit."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

from tests.backends.devices.machines import children_of
from tests.faults.trial import Fault, Trial, outcome, run

WORKERS, LOST = 10, 3
SEEDS = 4
STARTS_WITHIN = 60  # seconds


def workers(trial: Trial, chance: random.Random) -> Fault:
    """Train a study on ten workers of this machine and kill three of them at random moments."""
    fault = Fault("a worker of a cluster killed")
    backends = list(trial.undisturbed)
    command = [
        *(sys.executable, "-m", "lenet_multi", "parity", "--seeds", str(SEEDS), "--epochs", "1"),
        *(flag for backend in backends for flag in ("--backend", backend)),
        *("--data", str(trial.data), "--out"),
    ]
    quiet, out = trial.folder / "quiet-study", trial.folder / "cluster-study"
    run([*command, str(quiet)])
    with cluster(trial.folder / "cluster") as (address, processes):
        with subprocess.Popen(
            [*command, str(out), "--cluster", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as study:
            while study.poll() is None and fault.injected < LOST:
                time.sleep(chance.uniform(0, 5))
                if training := [one for one in processes if children_of(one.pid)]:
                    chance.choice(training).kill()
                    fault.note(None)
            said = study.communicate()[1]
        if study.returncode not in (0, 1):
            fault.lost.append(f"the study ended with {study.returncode}: {said[-300:]}")
    for seed, backend in product(range(SEEDS), backends):
        name = f"seed-{seed}-{backend}"
        if not (out / name).exists():
            fault.lost.append(f"{name} is missing")
        elif outcome(out / name) != outcome(quiet / name):
            fault.lost.append(f"{name}: other weights, epochs or answers")
    return fault


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Yield the address of a scheduler of this machine, and the processes of its workers."""
    folder.mkdir()
    told = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = ("--no-dashboard", "--scheduler-file", str(told))
    with ExitStack() as stack, (folder / "log.txt").open("w") as log:

        def start(*words: str) -> "subprocess.Popen[bytes]":
            process = subprocess.Popen([*dask, *words, *quiet], cwd=folder, stderr=log, stdout=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        start("scheduler", "--port", "0")
        until = time.monotonic() + STARTS_WITHIN
        while not told.exists():
            assert time.monotonic() < until, "the scheduler did not start"
            time.sleep(0.1)
        one = ("worker", "--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        processes = [start(*one) for _ in range(WORKERS)]
        yield json.loads(told.read_text())["address"], processes
