"""Train each recipe from many seeds on each backend: `nox -s study -- recipes`.

Everything about a recipe is fixed before; its figure is that of the last epoch on the test images.
A stopped study goes on, and a finished one does nothing.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.recipe_figures import draw_curves
from benchmarks.report import RESULTS, read
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity.seeds import STUDY
from lenet_multi.runs.durable import write_json
from lenet_multi.runs.folder import RUNS
from lenet_multi.runs.record import read_run

SEEDS: Mapping[str, int] = {"one-epoch": 30, "one-cycle": 10, "best": 5}
FIGURE = "learning-curves.png"


def record_of(recipe: str) -> Path:
    """Return the committed record of a recipe's study."""
    return RESULTS / f"{recipe}-seeds.json"


def curves(folder: Path, seeds: int) -> dict[str, list[float]]:
    """Return the mean validation accuracy after each epoch of the runs in `folder`, by backend."""
    found: dict[str, list[list[float]]] = {}
    for backend, seed in product(BACKENDS, range(seeds)):
        if (place := folder / f"seed-{seed}-{backend}").exists():
            epochs = read_run(place).result.epochs
            found.setdefault(backend, []).append([epoch["val_accuracy"] for epoch in epochs])
    return {name: np.mean(accuracies, axis=0).tolist() for name, accuracies in found.items()}


def main() -> int:
    """Study the named recipes one after the other; return 1 if backends are not equivalent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("recipes", nargs="*", help=f"of {', '.join(SEEDS)} (default: all)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers train")
    asked = parser.parse_args()
    if unknown := {*asked.recipes} - {*SEEDS}:
        parser.error(f"there is no study of {', '.join(sorted(unknown))}; give {', '.join(SEEDS)}")
    failed = 0
    for recipe in asked.recipes or SEEDS:
        folder = RUNS / "study" / recipe
        command = ["parity", "--seeds", str(SEEDS[recipe]), "--recipe", recipe, "--out", folder]
        command += ["--cluster", asked.cluster] if asked.cluster else []
        done = subprocess.run([sys.executable, "-m", "lenet_multi", *map(str, command)])
        if done.returncode not in (0, 1):
            return done.returncode
        failed |= done.returncode
        record = {**read(folder / STUDY), "curves": curves(folder, SEEDS[recipe])}
        write_json(record_of(recipe), record, indent=None)
    on_file = {name: read(record_of(name)) for name in SEEDS if record_of(name).exists()}
    draw_curves({name: study["curves"] for name, study in on_file.items()}, RESULTS / FIGURE)
    return failed


if __name__ == "__main__":
    sys.exit(main())
