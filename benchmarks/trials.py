"""Try settings for the LeNet's recipes on validation images: `nox -s study -- trials`.

The last sixth of the training images validates. Each trial is on file, with its settings and its
seed, whatever it showed. No figure of the test images is: nothing is chosen by them. Trials on file
are not repeated, so the study goes on where it was stopped.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lenet_multi
from benchmarks.report import RESULTS, read
from lenet_multi.machine import children, environment
from lenet_multi.runs.durable import write_json

OPTIONS = "options"
BACKEND = "jax"  # the fastest
SPLIT = 1 / 6  # of the 60,000 training images: 10,000 validate

Settings = Mapping[str, Any]

FAST: Settings = {"beta_1": 0.8, "beta_2": 0.95}
ONE_CYCLE: Settings = {"epochs": 12, "lr_schedule": "one-cycle"}
ONE_EPOCH: Settings = {**ONE_CYCLE, **FAST, "epochs": 1}
NORM: Settings = {"batch_norm": True}
BEST: Settings = {**NORM, **FAST, "lr_schedule": "one-cycle", "learning_rate": 0.004}
MILD: Settings = {"rotation": 10.0, "shear": 8.0, "zoom": 0.1, "translation": 1.5, "elastic": 0.8}
STRONG: Settings = {
    "rotation": 12.0,
    "shear": 10.0,
    "zoom": 0.12,
    "translation": 2.0,
    "elastic": 1.2,
}

SINGLE: list[Settings] = [{}, NORM, {"dropout": 0.4}, {"inception": True}]

# The trials, by the recipe that they are for, in the order in which they were made.
TRIALS: Mapping[str, list[Settings]] = {
    "one-epoch": [
        {**ONE_EPOCH, "learning_rate": 0.008},
        {**ONE_EPOCH, **NORM, "learning_rate": 0.008},
        {**ONE_EPOCH, **NORM, "learning_rate": 0.016},
        {**ONE_EPOCH, **NORM, "learning_rate": 0.008, "batch_size": 64},
        {**ONE_EPOCH, "learning_rate": 0.004, "batch_size": 64},
        {**ONE_EPOCH, "learning_rate": 0.006, "batch_size": 64},
        {**ONE_EPOCH, **NORM, "learning_rate": 0.016, "batch_size": 64},
        {**ONE_EPOCH, **NORM, "learning_rate": 0.008, "batch_size": 32},
    ],
    "one-cycle": [
        {**ONE_CYCLE, **FAST, "learning_rate": 0.004},
        {**ONE_CYCLE, **FAST, **NORM, "learning_rate": 0.004},
        {**ONE_CYCLE, **FAST, **NORM, "learning_rate": 0.004, "dropout": 0.4},
        {**ONE_CYCLE, **FAST, **NORM, "learning_rate": 0.008, "dropout": 0.4},
    ],
    # The record also holds a student that the first two taught.
    "best": [
        {**BEST, **MILD, "epochs": 30, "undistorted": 0.1, "dropout": 0.3},
        {**BEST, **MILD, "epochs": 30, "undistorted": 0.1},
        {**BEST, **MILD, "epochs": 60, "undistorted": 0.1},
        {**BEST, **STRONG, "epochs": 30, "undistorted": 0.1},
        {**BEST, **MILD, "epochs": 30, "undistorted": 0.0},
        {**BEST, **MILD, "epochs": 30, "undistorted": 0.2},
        {**BEST, **STRONG, "epochs": 30, "undistorted": 0.2},
    ],
    # Not for a recipe: the effect of each option on three epochs of the recipe standard.
    OPTIONS: [{"epochs": 3, **option} for option in SINGLE],
}
SEEDS: Mapping[str, int] = {"one-epoch": 3, "one-cycle": 1, "best": 1, OPTIONS: 5}


def settings(trial: Settings, seed: int) -> Settings:
    """Return all that a trial changes of the recipe standard."""
    return {**trial, "validation_split": SPLIT, "seed": seed}


def wanted(recipes: list[str]) -> Iterator[tuple[str, Settings]]:
    """Yield the trials of each recipe: all with the first seed, then all with the next one."""
    for recipe in recipes:
        for seed, trial in product(range(SEEDS[recipe]), TRIALS[recipe]):
            yield recipe, settings(trial, seed)


def done(trial: Settings, folder: Path) -> dict[str, Any]:
    """Train, and return the figures of the last epoch."""
    run = lenet_multi.train(backend=BACKEND, out=folder / "run", **trial)
    last = run.result.epochs[-1]
    figures = {name: last[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    seconds = round(run.result.seconds["train"], 1)
    shutil.rmtree(folder / "run")
    return {**figures, "seconds": seconds, "versions": run.result.versions}


def main() -> int:
    """Make the trials that are not on file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trials", description=__doc__)
    parser.add_argument("recipes", nargs="*", help=f"of {', '.join(TRIALS)} (default: all)")
    parser.add_argument("--out", type=Path, default=RESULTS / "trials.json", help="JSON to write")
    asked = parser.parse_args()
    if unknown := {*asked.recipes} - {*TRIALS}:
        parser.error(f"no trials are for {', '.join(sorted(unknown))}; give {', '.join(TRIALS)}")
    record = read(asked.out) if asked.out.exists() else {"trials": []}
    on_file = [(one["recipe"], one["settings"]) for one in record["trials"]]
    left = [one for one in wanted(asked.recipes or list(TRIALS)) if one not in on_file]
    with children.bars() as progress, TemporaryDirectory() as folder:
        bar = progress.add_task("trials", total=len(left))
        for recipe, trial in left:
            figures = done(trial, Path(folder))
            record["trials"].append({"recipe": recipe, "settings": trial, **figures})
            write_json(asked.out, {"machine": environment.machine(), **record})
            progress.advance(bar)
    return 0


if __name__ == "__main__":
    sys.exit(main())
