"""Climb the ladder on each instruction set that this processor has: `nox -s processors`."""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.report import RESULTS, read
from lenet_multi.machine import environment
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.instruction_sets import held_to
from lenet_multi.runs.durable import write_json
from tests.conftest import PROJECT
from tests.processors import climbs

# The tests that compare float32 trainings, or check their outcome against a band.
ACROSS = ("tests/parity", "tests/test_across.py")
OF_A_BACKEND = (
    "tests/parity",
    "tests/backends/forms/test_forms.py",
    "tests/backends/test_adam.py",
    "tests/test_on_mnist.py",
)

PARTS = ("climbs", "margins", "tests")


def margins() -> list[dict[str, Any]]:
    """Return how much smaller each of the weakest sabotages could be, by instruction set."""
    found = []
    for name in climbs.available():
        done = subprocess.run(
            [sys.executable, "-m", "tests.processors.margins"],
            cwd=PROJECT,
            env={**os.environ, **held_to(name)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found += [{"instruction_set": name, **one} for one in json.loads(done.stdout)]
    return found


def tests() -> list[dict[str, Any]]:
    """Return, by instruction set, the tests that passed and failed and the caught sabotages."""
    found = []
    for name in climbs.available():
        sessions = [("all_backends", "", ACROSS), *(("backend", b, OF_A_BACKEND) for b in BACKENDS)]
        for marked, backend, chosen in sessions:
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-m", marked, *chosen],
                cwd=PROJECT,
                env={**os.environ, "KERAS_BACKEND": backend, **held_to(name)},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            caught = re.search(r"sabotages caught where they belong: (\d+) of (\d+)", done.stdout)
            found.append(
                {
                    "instruction_set": name,
                    "tests": backend or "across",
                    "passed": _count("passed", done.stdout),
                    "failed": re.findall(r"^(?:FAILED|ERROR) (\S.*)", done.stdout, re.MULTILINE),
                    "status": done.returncode,
                    "sabotages": list(map(int, caught.groups())) if caught else None,
                    "seconds": round(time.monotonic() - began),
                }
            )
    return found


def _count(word: str, output: str) -> int:
    found = re.search(rf"(\d+) {word}", output)
    return int(found.group(1)) if found else 0


def passed(record: dict[str, Any]) -> bool:
    """Return whether there was no false alarm and no failed test."""
    return not record.get("climbs", {}).get("false_alarms") and not any(
        one["status"] for one in record.get("tests", [])
    )


def show(record: dict[str, Any], console: Console) -> None:
    """Print what is nearest to its limit, and what failed."""
    if "climbs" in record:
        found = record["climbs"]
        table = Table("instruction sets", "threads", "precision", "rung", "share", "at")
        for row in found["shares"]:
            cells = [*map(str, list(row.values())[:4]), f"{row['share']:.0%}", row["at"]]
            table.add_row(*cells)
        console.print(table)
        alarms = found["false_alarms"]
        console.print(f"{found['climbs']} climbs, {len(alarms)} false alarms")
        for name, wrong in alarms.items():
            console.print(f"{name}: {wrong[0]}", style="red")
    for margin in record.get("margins", []):
        console.print(", ".join(map(str, margin.values())))
    for one in record.get("tests", []):
        words = f"{one['instruction_set']}, {one['tests']}: {one['passed']} tests passed"
        console.print(words, *(f"failed: {name}" for name in one["failed"]), sep="\n")


def main() -> int:
    """Do what the command line says; return 1 after a false alarm or a failed test."""
    parser = argparse.ArgumentParser(prog="python -m tests.processors", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="seeds to climb from")
    parser.add_argument("--only", action="append", choices=PARTS, help="part of the study")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs", "processors"),
        help="folder for climbs; the same command continues them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS / "processors.json",
        help="JSON to write; its other parts stay",
    )
    wanted = parser.parse_args()
    parts = wanted.only or PARTS
    record: dict[str, Any] = read(wanted.out) if wanted.out.exists() else {}
    record |= {
        "machine": environment.machine(),
        "versions": {k: v for name in BACKENDS for k, v in environment.versions(name).items()},
    }
    if "climbs" in parts:
        wanted.folder.mkdir(parents=True, exist_ok=True)
        record["climbs"] = climbs.study(wanted.folder, wanted.seeds)
        write_json(wanted.out, record, indent=1)
    if "margins" in parts:
        record["margins"] = margins()
        write_json(wanted.out, record, indent=1)
    if "tests" in parts:
        record["tests"] = tests()
        write_json(wanted.out, record, indent=1)
    show(record, Console(width=160, markup=False))
    return int(not passed(record))


if __name__ == "__main__":
    sys.exit(main())
