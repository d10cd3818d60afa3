"""Change modules in small ways, and record which changes no test detects: `nox -s mutants`.

mutmut makes the mutants of every module that imports no backend, and runs the module's tests on
them, as pyproject.toml says. Name parts, such as `runs`, to do these alone. Modules that have not
changed since they were recorded are left out, and so are their tests.
"""

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.report import RESULTS, read
from lenet_multi.machine import environment
from lenet_multi.runs.durable import write_json
from tests.conftest import PROJECT
from tests.mutants.parts import mutated, tests_of
from tests.mutants.reasons import reason
from tests.mutants.run import BrokenTestsError, Mutant, measure

LEAST_NOTICED = 0.9  # share of the mutants of each module
NOTICED = ("killed", "timeout")  # in mutmut's words
STATUSES = (*NOTICED, "survived", "no tests")


def main() -> int:
    """Do what the command line says; return 1 if too many survive, or one lacks a reason."""
    parts = mutated()
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}")
    parser.add_argument("--out", type=Path, default=RESULTS / "mutants.json", help="JSON to write")
    asked = parser.parse_args()
    if unknown := {*asked.parts} - {*parts}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    paths = [path for part in asked.parts or parts for path in parts[part]]
    record = read(asked.out) if asked.out.exists() else {}
    measured = {"modules": {}, **record}["modules"]
    broken = False
    for path in paths:
        module = str(path.relative_to(PROJECT))
        state = digest([path, *tests_of(path)])
        if measured.get(module, {}).get("digest") != state:
            print(module, file=sys.stderr, flush=True)
            try:
                measured[module] = {"digest": state, **counted(path)}
            except BrokenTestsError as error:
                measured.pop(module, None)
                broken = True
                print(error, file=sys.stderr)
        write(asked.out, measured)
    found = {name: measured[name] for name in measured if PROJECT / name in paths}
    show(found, Console(width=120, markup=False))
    return int(broken or not all(map(is_enough, found.values())))


def counted(path: Path) -> dict[str, Any]:
    """Return how many mutants the module has, how many have each status, and what survived."""
    began = time.monotonic()
    tests = tests_of(path)
    mutants = measure(path, tests)
    count = Counter(mutant.status for mutant in mutants)
    return {
        "tests": [str(test.relative_to(PROJECT)) for test in tests],
        "seconds": round(time.monotonic() - began),
        "mutants": len(mutants),
        **{status: count[status] for status in STATUSES},
        "survivors": [described(mutant) for mutant in mutants if mutant.status not in NOTICED],
    }


def described(mutant: Mutant) -> dict[str, str]:
    """Return a surviving mutant's function, and its line before and after."""
    return {"function": mutant.function, "was": mutant.was, "became": mutant.became}


def digest(paths: Iterable[Path]) -> str:
    """Return a digest of the contents of files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def write(out: Path, measured: dict[str, dict[str, Any]]) -> None:
    """Write the record, with the modules in the order of the parts and the reasons of today."""
    names = [str(path.relative_to(PROJECT)) for paths in mutated().values() for path in paths]
    for module in measured.values():
        for survivor in module["survivors"]:
            survivor["reason"] = reason(
                **{name: survivor[name] for name in ("function", "was", "became")}
            )
    write_json(
        out,
        {
            "machine": environment.machine(),
            "versions": {name: version(name) for name in ("lenet-multi", "mutmut", "pytest")},
            "modules": {name: measured[name] for name in names if name in measured},
        },
    )


def share(module: dict[str, Any]) -> float:
    """Return the share of mutants that tests detect, by failing or by not ending."""
    return sum(module[status] for status in NOTICED) / module["mutants"] if module["mutants"] else 1


def is_enough(module: dict[str, Any]) -> bool:
    """Return whether enough mutants were noticed, and each of the others has a reason."""
    explained = all(survivor["reason"] for survivor in module["survivors"])
    return share(module) >= LEAST_NOTICED and explained


def show(measured: dict[str, dict[str, Any]], console: Console) -> None:
    """Print the counts of each module, and the survivors without a reason."""
    table = Table("module", "mutants", *STATUSES, "noticed", "seconds")
    for name, module in measured.items():
        counts = (str(module[count]) for count in ("mutants", *STATUSES))
        table.add_row(name, *counts, f"{share(module):.1%}", str(module["seconds"]))
    console.print(table)
    for module in measured.values():
        for survivor in module["survivors"]:
            if not survivor["reason"]:
                console.print(
                    f"{survivor['function']}\n- {survivor['was']}\n+ {survivor['became']}"
                )


if __name__ == "__main__":
    sys.exit(main())
