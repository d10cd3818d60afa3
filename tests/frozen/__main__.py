"""Compare commands with those of an earlier commit, on this machine: `nox -s frozen`."""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lenet_multi.config import RECIPES
from lenet_multi.data import sets
from lenet_multi.machine.frameworks import BACKENDS
from tests import drawings
from tests.conftest import PROJECT
from tests.frozen.commands import Package, Seen

FROZEN = "dd5535e"  # the commit whose behaviour stays

STEPS = 20
TRAINING = ("--data", "data.npz", "--validation-split", "0.1", "--epochs", "1")

Case = tuple[str, list[str], dict[str, str]]  # its name, arguments and variables


def earlier(commit: str, folder: Path) -> Path:
    """Unpack the package of `commit` into `folder`, and return the folder."""
    archive = subprocess.check_output(["git", "archive", commit, "lenet_multi"], cwd=PROJECT)
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        file.extractall(folder, filter="data")
    return folder


def prepare(place: Path) -> None:
    """Put into a folder what the commands read: image sets for 20 steps, and drawings."""
    mnist = sets.load()
    images = STEPS * 128 * 10 // 9  # a tenth validates
    np.savez(
        place / "data.npz",
        x_train=mnist.train.images[:images],
        y_train=mnist.train.labels[:images],
        x_test=mnist.test.images[:500],
        y_test=mnist.test.labels[:500],
    )
    (place / "drawings").mkdir()
    drawings.write(mnist.test[:5], place / "drawings", seed=0)


def trainings() -> Iterator[Case]:
    """Yield a training of each recipe on each backend, and of what else changes the bits."""
    for backend in BACKENDS:
        for recipe in RECIPES:
            flags = ["--backend", backend, "--recipe", recipe, *TRAINING]
            yield f"train {recipe} {backend}", ["train", *flags], {}
        stock = ["--backend", backend, "--form", "stock", *TRAINING]
        yield f"train stock {backend}", ["train", *stock], {}
    named = ["--lr-schedule", "step", "--checkpoint", "best", "--early-stopping", "1", *TRAINING]
    yield "train with KERAS_BACKEND", ["train", *named], {"KERAS_BACKEND": "jax"}


def uses(run: str, other: str) -> Iterator[Case]:
    """Yield what is done with two runs, and what is refused."""
    for name, arguments in {
        "evaluate": ["evaluate", run],
        "evaluate elsewhere": ["evaluate", run, "--backend", "numpy"],
        "predict": ["predict", "drawings", "--model", run],
        "compare": ["compare", run, other],
        "compare with itself": ["compare", run, run],
        "report": ["report", run, other],
        "export": ["export", run, "--format", "torch", "--out", f"{run}-export"],
        "an occupied folder": ["train", "--out", run],
        "an unknown flag": ["train", "--epoch", "1"],
        "an unknown recipe": ["train", "--recipe", "standart"],
        "an unknown verb": ["trian"],
        "a form that TensorFlow lacks": ["train", "--backend", "tensorflow", "--form", "tile"],
        "no data": ["train", "--data", "nowhere"],
        "one backend": ["parity", "--backend", "jax"],
        "nothing to resume": ["train", "--resume", "nowhere"],
        "completion": ["completion", "bash"],
        "no images": ["predict", "nowhere", "--model", run],
    }.items():
        yield name, arguments, {}


def compare(before: Package, now: Package) -> dict[str, list[str]]:
    """Return the differences by command; what both show alike has none."""
    found: dict[str, list[str]] = {}

    def both(case: Case) -> tuple[Seen, Seen]:
        name, arguments, environ = case
        seen = before.run(arguments, **environ), now.run(arguments, **environ)
        found[name] = list(seen[0].differences(seen[1]))
        print(f"{name}: {', '.join(found[name]) or 'the same'}", flush=True)
        return seen

    runs = []
    for name, arguments, environ in trainings():
        runs.append(name.replace(" ", "-"))
        first, _ = both((name, [*arguments, "--out", runs[-1]], environ))
        if not first.left:
            found[name].append("no run was kept")
    for case in uses(runs[0], runs[len(RECIPES) + 1]):
        both(case)
    for backend in BACKENDS:
        _resume(before, now, backend, found)
    return found


def _resume(before: Package, now: Package, backend: str, found: dict[str, list[str]]) -> None:
    """Interrupt a run of the earlier package and go on with it in today's."""
    flags = ["train", "--backend", backend, *TRAINING[:-1], "2", "--save-every", "1"]
    whole = before.run([*flags, "--out", f"whole-{backend}"])
    before.interrupt(
        [*flags, "--out", f"resumed-{backend}"], Path(f"resumed-{backend}.unfinished/resume")
    )
    unfinished = before.place / f"resumed-{backend}.unfinished"
    name = f"resume {backend}"
    if not unfinished.exists():
        found[name] = ["the run ended before it was interrupted"]
        return
    unfinished.rename(now.place / unfinished.name)
    now.run(["train", "--resume", f"resumed-{backend}"])
    resumed = now.run(["train", "--out", f"resumed-{backend}"])  # refused; tells what is there
    found[name] = list(whole.differences(Seen(whole.status, whole.last_line, resumed.left)))
    print(f"{name}: {', '.join(found[name]) or 'the same'}", flush=True)


def main() -> int:
    """Compare, and return status 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.frozen", description=__doc__)
    parser.add_argument("--commit", default=FROZEN, help="whose behaviour is expected")
    commit = parser.parse_args().commit
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place in ("source", "before", "now"):
            (folder / place).mkdir()
        before = Package(earlier(commit, folder / "source"), folder / "before")
        now = Package(PROJECT, folder / "now")
        for package in (before, now):
            prepare(package.place)
        found = compare(before, now)
    different = {name: differences for name, differences in found.items() if differences}
    print(f"{len(found) - len(different)} of {len(found)} commands are as at {commit}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
