"""The whole climb: run all climbers, collect their evidence, compare it, record it."""

import dataclasses
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from lenet_multi.errors import UserError
from lenet_multi.machine import children, environment
from lenet_multi.machine.children import Failure
from lenet_multi.own.find import find_task
from lenet_multi.parity import figure, ladder
from lenet_multi.parity.climber import CLIMB, GO_ON, Climber, Job
from lenet_multi.parity.evidence import Evidence, read
from lenet_multi.parity.ladder import Finding, Ladder
from lenet_multi.parity.plan import ORACLE, Plan, require_two
from lenet_multi.parity.prepare import prepare
from lenet_multi.parity.start import FOLDER
from lenet_multi.runs import durable
from lenet_multi.runs.durable import writing

SCHEMA_VERSION = 2  # 2: with the figure's lines

COMPARISON, FIGURE = "comparison.json", "gaps.png"


@dataclass(frozen=True)
class Ascent:
    """What the climb found, and which climbers failed."""

    ladder: Ladder
    findings: list[Finding]
    failures: list[Failure]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every climber finished and every finding passed."""
        return not self.failures and all(finding.passed for finding in self.findings)


def ascend(
    backends: Sequence[str], plan: Plan, folder: Path, *, timeout: float, threads: int = 1
) -> Ascent:
    """Climb with all `backends` in child processes; their evidence stays in `folder`.

    `backends` are names as in `Climber`. Each process computes with `threads` threads.

    Raises `UserError` when there are fewer than two backends or too few images, when this processor
    has too few cores or lacks an instruction set, or when `folder` is not empty or not writable.
    """
    require_two(backends)
    if not 1 <= threads <= environment.threads():
        raise UserError(
            f"--threads must be between 1 and {environment.threads()}, the processors that this "
            f"process may use, not {threads}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; choose another --out")
    began = time.perf_counter()
    if plan.config.is_own:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        start = prepare(plan, Climber.of(backends[0]).backend, folder / FOLDER)
        with_oracle = bool(start.facts["reference"])
    else:
        task = find_task(plan.config)
        dataset = task.load(plan.config)
        for precision in plan.precisions:
            plan.training_examples(dataset, precision)  # raise here, once, and not in each child
        with_oracle = task.reference is not None
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    climb = secrets.token_hex(8)
    jobs = _jobs(backends, plan, folder, climb, with_oracle=with_oracle)
    failures = children.run([job.child() for job in jobs], timeout=timeout, threads=threads)
    failed = {failure.child for failure in failures}
    seen: dict[str, dict[tuple[str, str], Evidence]] = {CLIMB: {}, GO_ON: {}}
    for job in jobs:
        if job.name not in failed:
            seen[job.task][job.climber, job.precision] = read(job.folder, climb=climb)
    found = Ladder(tuple(backends), seen[CLIMB], seen[GO_ON], plan)
    return Ascent(found, ladder.compare(found), failures, time.perf_counter() - began)


def _jobs(
    backends: Sequence[str], plan: Plan, folder: Path, climb: str, *, with_oracle: bool
) -> list[Job]:
    """Return all jobs, the long ones first."""
    job = partial(Job, out=str(folder), climb=climb, plan=dataclasses.asdict(plan))
    places = list(product(plan.precisions, backends))
    jobs = [job(CLIMB, *place) for place in places]
    if with_oracle and "float64" in plan.precisions:
        jobs.insert(len(backends), job(CLIMB, "float64", ORACLE))
    return jobs + [job(GO_ON, *place, saved_by=backends) for place in places if plan.saved_after]


def write_json(ascent: Ascent, path: Path) -> None:
    """Write findings, failures, the figure's lines, versions and machine as JSON."""
    first = ladder.first_failure(ascent.findings)
    climbed = ascent.ladder.climbed
    records = {who: seen.record for (who, _), seen in climbed.items() if who != ORACLE}
    content = {
        "schema_version": SCHEMA_VERSION,
        "passed": ascent.passed,
        "first_failure": str(first) if first else None,
        "seconds": ascent.seconds,
        "machine": environment.machine(),
        "versions": {k: v for one in records.values() for k, v in one.get("versions", {}).items()},
        "plan": dataclasses.asdict(ascent.ladder.plan),
        "failures": [dataclasses.asdict(failure) for failure in ascent.failures],
        "findings": [
            {**dataclasses.asdict(finding), "passed": finding.passed} for finding in ascent.findings
        ],
        "gaps": [dataclasses.asdict(line) for line in figure.lines(ascent.ladder)],
        "forms": {who: record["form"] for who, record in records.items()},
        "instruction_sets": {who: record["instruction_set"] for who, record in records.items()},
        "climber_seconds": {" ".join(who): seen.record["seconds"] for who, seen in climbed.items()},
    }
    with writing(path):
        durable.write_json(path, content)
