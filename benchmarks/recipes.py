"""Train each recipe from many seeds on each backend: `nox -s study -- recipes`.

Everything about a recipe is fixed before; its figure is that of the last epoch on the test images.
A stopped study goes on, and a finished one does nothing.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.report import RESULTS
from lenet_multi.parity.seeds import STUDY
from lenet_multi.runs.folder import RUNS

SEEDS: Mapping[str, int] = {"one-epoch": 30}


def record_of(recipe: str) -> Path:
    """Return the committed record of a recipe's study."""
    return RESULTS / f"{recipe}-seeds.json"


def main() -> int:
    """Study the named recipes one after the other; return 1 if backends are not equivalent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("recipes", nargs="*", help=f"of {', '.join(SEEDS)} (default: all)")
    asked = parser.parse_args()
    if unknown := {*asked.recipes} - {*SEEDS}:
        parser.error(f"there is no study of {', '.join(sorted(unknown))}; give {', '.join(SEEDS)}")
    failed = 0
    for recipe in asked.recipes or SEEDS:
        folder = RUNS / "study" / recipe
        command = ["parity", "--seeds", str(SEEDS[recipe]), "--recipe", recipe, "--out", folder]
        done = subprocess.run([sys.executable, "-m", "lenet_multi", *map(str, command)])
        if done.returncode not in (0, 1):
            return done.returncode
        failed |= done.returncode
        shutil.copy(folder / STUDY, record_of(recipe))
    return failed


if __name__ == "__main__":
    sys.exit(main())
