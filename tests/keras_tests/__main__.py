"""Run Keras's own tests of `fit` on each backend, with stock Keras and with our training.

What passes with stock Keras must pass with ours. The record says what trained in each test.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report import RESULTS, keras_tests_table
from lenet_multi.machine import environment
from lenet_multi.machine.frameworks import BACKENDS, installed_version
from lenet_multi.runs.durable import write_json
from tests.conftest import PROJECT
from tests.keras_tests import IN_PLACE, REPORT

# Keras's tests of `fit`; `--place callbacks` or `--place models` tries others that call it.
PLACES = ("trainers/trainer_test.py",)
OF_BACKEND = {"jax": ("backend/jax/trainer_test.py",)}

# Why a test that stock Keras passes fails with our training, on at least one backend.
KNOWN = {
    "trainers/trainer_test.py::TestTrainer::test_retracing": (
        "it allows two traces of a step, and the check of the fast way traces both ways"
    ),
    "callbacks/swap_ema_weights_test.py::SwapEMAWeightsTest::test_swap_ema_weights_on_epoch": (
        "it wants XLA's bits from a file in which we leave jit_compile to the backend"
    ),
}

Outcomes = dict[str, dict[str, Any]]  # by test


def run(backend: str, given: Sequence[str], folder: Path, *, in_place: bool) -> Outcomes:
    """Return the outcomes of Keras's tests on a backend, with our training if `in_place`.

    The tests are those in the places `given` of Keras's source, and the backend's own.
    """
    spec = find_spec("keras")
    assert spec is not None
    assert spec.origin is not None
    root, report = Path(spec.origin).parents[1], folder / f"{backend}-{in_place}.json"
    places = [f"keras/src/{place}" for place in (*given, *OF_BACKEND.get(backend, ()))]
    # A module whose imports are missing here is left out with stock Keras and with ours.
    ignore = ("-W", "ignore", "--continue-on-collection-errors")
    flags = ("-q", *ignore, "-c", os.devnull, f"--rootdir={root}", "-p", "no:cacheprovider")
    environ = {"KERAS_BACKEND": backend, "PYTHONPATH": str(PROJECT), REPORT: str(report)}
    subprocess.run(
        [sys.executable, "-m", "pytest", *flags, "-p", "tests.keras_tests.in_place", *places],
        cwd=root,
        env={**os.environ, **environ, **({IN_PLACE: "yes"} if in_place else {})},
        stdout=sys.stderr,
        check=False,  # the report says what failed
    )
    return dict(json.loads(report.read_text()))


def compared(stock: Outcomes, ours: Outcomes) -> dict[str, Any]:
    """Return how many tests stock Keras passes, which of them fail with ours, and what trained."""
    passed = [name for name, found in stock.items() if found["outcome"] == "passed"]
    missing = {"outcome": "missing", "reason": "it did not run", "ways": []}
    mine = {name: ours.get(name, missing) for name in passed}
    ways: dict[str, list[str]] = {}
    for name, one in mine.items():
        for way in one["ways"]:
            ways.setdefault(way, []).append(name)
    failed = {name: one for name, one in mine.items() if one["outcome"] != "passed"}
    return {
        "passed_by_stock_keras": len(passed),
        "train": sum(bool(one["ways"]) for one in mine.values()),
        "failed": {name: one.get("reason", "") for name, one in failed.items()},
        "ways": dict(sorted(ways.items(), key=lambda pair: -len(pair[1]))),
    }


def unexpected(found: dict[str, Any]) -> list[str]:
    """Return what is wrong with a backend's outcomes, in words."""
    failed = {name: why for name, why in found["failed"].items() if not _known(name)}
    none = [] if found["train"] else ["no test trained"]
    return [*none, *(f"{name} failed: {why}" for name, why in failed.items())]


def _known(test: str) -> str | None:
    return next((why for name, why in KNOWN.items() if test.endswith(name)), None)


def main(given: Sequence[str] | None = None) -> int:
    """Do what the command line says; return 1 if a test fails that stock Keras passes."""
    parser = argparse.ArgumentParser(prog="python -m tests.keras_tests", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "keras-tests.json", help="JSON file")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="default: each")
    parser.add_argument("--place", action="append", help="of Keras's source  (default: trainers)")
    flags = parser.parse_args(given)
    places = flags.place or PLACES
    began, backends = time.monotonic(), flags.backend or list(BACKENDS)
    with tempfile.TemporaryDirectory() as name:
        found = {
            backend: compared(
                *(run(backend, places, Path(name), in_place=one) for one in (False, True))
            )
            for backend in backends
        }
    record = {
        "machine": environment.machine(),
        "versions": {name: installed_version(name) for name in ("keras", *backends)},
        "places": [*places],
        "seconds": round(time.monotonic() - began),
        "backends": found,
    }
    write_json(flags.out, record)
    console = Console(markup=False)
    console.print(keras_tests_table(record), soft_wrap=True)
    wrong = [f"{backend}: {line}" for backend in backends for line in unexpected(found[backend])]
    for line in wrong:
        console.print(line, soft_wrap=True)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
