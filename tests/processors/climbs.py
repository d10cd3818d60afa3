"""Climb the short ladder on every instruction set, also with backends on different ones.

A process is one backend on one instruction set. A climb takes one process per backend: all on the
same instruction set, or on different ones, as on two users' machines. So three instruction sets and
three backends give 27 climbs from nine processes.
"""

import dataclasses
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.report import read
from lenet_multi.config import PRECISIONS
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.instruction_sets import INSTRUCTION_SETS, of_processor
from lenet_multi.parity import ascent
from lenet_multi.parity.climber import Climber
from lenet_multi.parity.ladder import Finding
from lenet_multi.parity.plan import ONE_EPOCH, ORACLE, Plan
from tests.parity.again import PLAN

THREADS = (1, 2)

SHORT = dataclasses.replace(PLAN, saved_after=0)  # L0 to L4
FLOAT64_SEEDS = 1  # float64's limits are constants, and no seed comes near them

TIMEOUT = 900.0  # seconds; a process takes half a minute


def available() -> tuple[str, ...]:
    """Return the instruction sets that this processor has."""
    return INSTRUCTION_SETS[: 1 + INSTRUCTION_SETS.index(of_processor())]


def plan(seed: int) -> Plan:
    """Return the plan for a seed; the first FLOAT64_SEEDS also climb in float64."""
    precisions = PRECISIONS if seed < FLOAT64_SEEDS else PRECISIONS[:1]
    config = dataclasses.replace(ONE_EPOCH, seed=seed)
    return dataclasses.replace(SHORT, config=config, precisions=precisions)


def climb(folder: Path, seed: int, threads: int) -> dict[str, Any]:
    """Return what all processes found; climb only if `folder` does not hold it already."""
    place = folder / f"{threads}-{seed}"
    record = place.with_suffix(".json")
    if not record.exists():
        shutil.rmtree(place, ignore_errors=True)
        everyone = [f"{backend}@{name}" for name, backend in product(available(), BACKENDS)]
        found = ascent.ascend(everyone, plan(seed), place, timeout=TIMEOUT, threads=threads)
        ascent.write_json(found, record)
        shutil.rmtree(place)  # half a gigabyte of evidence
    return read(record)


def judge(found: dict[str, Any], seed: int, threads: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each climb's name and the findings that failed in it."""
    failures = [f"{failure['child']} {failure['reason']}" for failure in found["failures"]]
    findings = [Finding.of(finding) for finding in found["findings"]]
    for names in product(available(), repeat=len(BACKENDS)):
        who = {f"{backend}@{name}" for backend, name in zip(BACKENDS, names, strict=True)}
        wrong = [str(f) for f in findings if set(f.pair) <= who | {ORACLE} and not f.passed]
        yield f"seed {seed}, {threads} threads, {', '.join(sorted(who))}", [*failures, *wrong]


def shares(found: Iterable[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the largest share of a limit, by instruction sets, threads, precision and rung.

    `found` holds the numbers of threads with the climbs' records. A pair on two different
    instruction sets is "mixed". A comparison to the bit has no share.
    """
    largest: dict[tuple[str, int, str, str], Finding] = {}
    for threads, climbed in found:
        for finding in map(Finding.of, climbed["findings"]):
            sets = {Climber.of(who).instruction_set for who in finding.pair if who != ORACLE}
            name = "mixed" if len(sets) > 1 else str(*sets)
            key = (name, threads, finding.precision, finding.rung)
            if finding.allowed and finding.share >= getattr(largest.get(key), "share", 0.0):
                largest[key] = finding
    return [
        {
            "instruction_sets": name,
            "threads": threads,
            "precision": precision,
            "rung": rung,
            "share": finding.share,
            "at": str(finding),
        }
        for (name, threads, precision, rung), finding in sorted(largest.items())
    ]


def study(folder: Path, seeds: int, threads: Sequence[int] = THREADS) -> dict[str, Any]:
    """Climb from all seeds, with each number of threads, and return the results."""
    found = {(t, seed): climb(folder, seed, t) for seed in range(seeds) for t in threads}
    climbs: dict[str, list[str]] = defaultdict(list)
    for (t, seed), climbed in found.items():
        for name, wrong in judge(climbed, seed, t):
            climbs[name] += wrong
    return {
        "seeds": seeds,
        "threads": list(threads),
        "instruction_sets": list(available()),
        "plan": dataclasses.asdict(SHORT),
        "processes": sum(len(climbed["climber_seconds"]) for climbed in found.values()),
        "climbs": len(climbs),
        "false_alarms": {name: wrong for name, wrong in climbs.items() if wrong},
        "seconds": round(sum(climbed["seconds"] for climbed in found.values())),
        "shares": shares((t, climbed) for (t, _), climbed in found.items()),
    }
