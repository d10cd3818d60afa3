"""Compare commands with those of an earlier commit, on this machine: `nox -s frozen`."""

import argparse
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

from lenet_multi.inference.formats import FORMATS
from lenet_multi.lenet import image_sets
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.runs.durable import write_record
from tests import drawings
from tests.conftest import PROJECT
from tests.frozen.commands import Case, Package, differences, different

# The commit whose behaviour must stay. At 9953128 all 65 commands were as at dd5535e; then words of
# messages and pages changed, and nothing else.
FROZEN = "241dfd8"

STEPS = 20
TRAINING = ("--data", "data.npz", "--validation-split", "0.1", "--epochs", "1")
RUNS = [f"standard-{backend}" for backend in BACKENDS]


def earlier(commit: str, folder: Path) -> Path:
    """Unpack the package of `commit` into `folder`, and return the folder."""
    archive = subprocess.check_output(["git", "archive", commit, "lenet_multi"], cwd=PROJECT)
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        file.extractall(folder, filter="data")
    return folder


def prepare(place: Path) -> None:
    """Write what the commands read into a folder: image sets for 20 steps, and drawings."""
    mnist = image_sets.load()
    images = STEPS * 128 * 10 // 9  # a tenth is for validation
    np.savez(
        place / "data.npz",
        x_train=mnist.train.x[:images],
        y_train=mnist.train.y[:images],
        x_test=mnist.test.x[:500],
        y_test=mnist.test.y[:500],
    )
    (place / "drawings").mkdir()
    drawings.write(mnist.test[:5], place / "drawings", seed=0)


def edit(run: Path) -> None:
    """Write a copy of a run that claims one more right answer, and a damaged copy."""
    for name in ("edited", "damaged"):
        shutil.copytree(run, run.with_name(name))
    record = run.with_name("edited") / "result.json"
    result = json.loads(record.read_text())
    del result["sha256"]
    write_record(record, {**result, "test_correct": result["test_correct"] + 1})
    (run.with_name("damaged") / "history.csv").write_text("")


def trainings() -> Iterator[Case]:
    """Yield a training of each recipe on each backend, and of everything else that changes bits."""
    asked = {
        f"{recipe}-{backend}": ["--backend", backend, "--recipe", recipe]
        for backend in BACKENDS
        for recipe in RECIPES
    }
    asked |= {f"stock-{backend}": ["--backend", backend, "--form", "stock"] for backend in BACKENDS}
    for run, flags in asked.items():
        yield Case(
            f"train {run}", ["train", *flags, *TRAINING, "--out", run], leaves=f"{run}/result.json"
        )
    kept = ["--lr-schedule", "step", "--checkpoint", "best", "--early-stopping", "1", "--json"]
    yield Case(
        "train with KERAS_BACKEND",
        ["train", *kept, *TRAINING, "--out", "kept"],
        leaves="kept/checkpoints/best.keras",
        environ={"KERAS_BACKEND": "jax"},
    )


def uses() -> Iterator[Case]:
    """Yield the commands that use run folders, whichever package wrote them."""
    first = RUNS[0]
    for run in RUNS:
        yield Case(f"evaluate {run}", ["evaluate", run, "--json"])
        yield Case(f"predict with {run}", ["predict", "drawings", "--model", run, "--json"])
    elsewhere = ["evaluate", first, "--backend", "numpy", "--out", "pictures"]
    yield Case("evaluate elsewhere", elsewhere, leaves="pictures/confusion.png")
    shown = ["predict", "drawings", "--model", first, "--show", "seen.png"]
    yield Case("predict", shown, leaves="seen.png")
    yield Case("predict no image", ["predict", "drawings", "data.npz", "--model", first], 2)
    yield Case("compare", ["compare", *RUNS], leaves="comparison.json")
    yield Case("compare as JSON", ["compare", *RUNS, "--json", "--out", "c.json"], leaves="c.json")
    yield Case("compare what differs", ["compare", first, "edited"], 1, leaves="comparison.json")
    yield Case("compare a damaged run", ["compare", first, "damaged"], 2)
    yield Case("compare with another recipe", ["compare", first, f"baseline-{BACKENDS[0]}"], 2)
    yield Case("report", ["report", *RUNS, f"notebook-{BACKENDS[0]}"], leaves="report.html")
    # PyTorch's run first: ONNX export through TensorFlow gives other bytes each time.
    for (name, form), run in zip(FORMATS.items(), cycle(RUNS[::-1]), strict=False):
        out = f"{name}{form.suffix}"
        asked = ["export", run, "--format", name, "--out", out]
        yield Case(f"export {run} to {name}", asked, leaves=str(Path(out, form.holds)))


def others() -> Iterator[Case]:
    """Yield the commands that need no run, and those that are refused."""
    first, two = RUNS[0], ["--backend", "jax", "--backend", "torch", "--data", "data.npz"]
    yield Case("completion", ["completion", "bash"])
    for verb in ("train", "evaluate", "predict", "compare", "report", "export", "parity", "demo"):
        yield Case(f"{verb} --help", [verb, "--help"], whole=False)
    for name, arguments in {
        "a report on a report": ["report", first],
        "an occupied folder": ["train", "--out", first],
        "an unknown flag": ["train", "--epoch", "1"],
        "an unknown recipe": ["train", "--recipe", "standart"],
        "an unknown verb": ["trian"],
        "a form that TensorFlow lacks": ["train", "--backend", "tensorflow", "--form", "tile"],
        "compare with itself": ["compare", first, first],
        "no data": ["train", "--data", "nowhere"],
        "no format": ["export", first, "--format", "onix"],
        "no images": ["predict", "nowhere", "--model", first],
        "no model for the demo": ["demo", "nowhere"],
        "no run": ["evaluate", "nowhere"],
        "nothing to resume": ["train", "--resume", "nowhere"],
        "one backend": ["parity", "--backend", "jax"],
    }.items():
        yield Case(name, arguments, 2)
    yield Case("doctor", ["doctor"], whole=False)
    seeds = ["parity", "--seeds", "2", "--epochs", "1", *two, "--out", "seeds"]
    yield Case("parity of seeds", seeds, 1, leaves="seeds/seeds.json")  # two seeds are too few
    yield Case("parity", ["parity", *two, "--out", "ladder"], whole=False)


def resumed(backend: str, before: Package, now: Package) -> list[str]:
    """Interrupt a run of the earlier package, resume it with today's, and return differences."""
    run = f"resumed-{backend}"
    flags = ["--backend", backend, *TRAINING[:-1], "3", "--save-every", "1", "--out", run]
    whole, rest = Case(run, ["train", *flags]), Case(run, ["train", "--resume", run])
    started = Package("interrupted", before.source, now.place)
    started.interrupt(whole.arguments, Path(f"{run}.unfinished", "resume"))
    first, seen = before.run(whole), now.run(rest)
    changed = different(first.shown["files"], seen.shown["files"])
    return [*first.faults(whole), *seen.faults(rest), *changed]


def compare(before: Package, now: Package) -> dict[str, list[str]]:
    """Return the differences by command; a command without differences has an empty list."""
    found: dict[str, list[str]] = {}

    def put(name: str, wrong: list[str]) -> None:
        found[name] = wrong
        print(f"{name}: {'differs' if wrong else 'the same'}", *wrong, sep="\n  ", flush=True)

    for case in trainings():
        put(case.name, differences(case, before, now))
    for package in (before, now):
        edit(package.place / RUNS[0])
    crossed = Package("today's, with earlier runs", now.source, now.place.with_name("crossed"))
    shutil.copytree(before.place, crossed.place)
    for case in uses():
        put(case.name, differences(case, before, now, crossed))
    for case in others():
        put(case.name, differences(case, before, now))
    for backend in BACKENDS:
        put(f"resume on {backend}", resumed(backend, before, now))
    return found


def main() -> int:
    """Compare, and return 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.frozen", description=__doc__)
    parser.add_argument("--commit", default=FROZEN, help="the commit whose behaviour is expected")
    commit = parser.parse_args().commit
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for place in ("source", "before", "now"):
            (folder / place).mkdir()
        before = Package("earlier", earlier(commit, folder / "source"), folder / "before")
        now = Package("today's", PROJECT, folder / "now")
        for package in (before, now):
            assert package.imported().is_relative_to(package.source)
            prepare(package.place)
        found = compare(before, now)
    same = sum(not wrong for wrong in found.values())
    print(f"{same} of {len(found)} commands are as at {commit}")
    return int(same < len(found))


if __name__ == "__main__":
    sys.exit(main())
