"""The whole climb: send all climbers up, collect their evidence, compare it, record it."""

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
from lenet_multi.machine.children import Child, Failure
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity import figure, ladder
from lenet_multi.parity.climber import CLIMB, GO_ON, Job, command
from lenet_multi.parity.evidence import read
from lenet_multi.parity.ladder import Finding, Ladder
from lenet_multi.parity.plan import ORACLE, Climber, Plan
from lenet_multi.runs import durable
from lenet_multi.runs.durable import writing
from lenet_multi.task import find_task

SCHEMA_VERSION = 2  # 2: with the figure's lines

COMPARISON, FIGURE = "comparison.json", "gaps.png"


@dataclass(frozen=True)
class Ascent:
    """What the climb found, and which climbers failed on the way."""

    ladder: Ladder
    findings: list[Finding]
    failures: list[Failure]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every climber came through and every finding passed."""
        return not self.failures and all(finding.passed for finding in self.findings)


def ascend(
    backends: Sequence[str], plan: Plan, folder: Path, *, timeout: float, threads: int = 1
) -> Ascent:
    """Climb with all `backends` in child processes; their evidence stays in `folder`.

    `backends` may be named as `Climber` says; each process computes with `threads` threads.

    Raises `UserError` when there are fewer than two backends, too few images, this processor has
    too few cores or lacks an instruction set, or `folder` is not empty or cannot be written.
    """
    if len(backends) < 2:
        raise UserError(
            f"parity needs two backends, found {', '.join(backends) or 'none'}; install another "
            f"of {', '.join(BACKENDS)} with pip"
        )
    if not 1 <= threads <= environment.threads():
        raise UserError(
            f"--threads must lie between 1 and {environment.threads()}, the processors that may be "
            f"used, not {threads}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; choose another --out")
    task = find_task(plan.config.architecture)
    dataset = task.load(plan.config)
    for precision in plan.precisions:
        plan.training_examples(dataset, precision)  # refused here and not in each child
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    climb = secrets.token_hex(8)
    jobs = _jobs(backends, plan, folder, climb, with_oracle=task.reference is not None)
    failures = children.run([_child(job) for job in jobs], timeout=timeout, threads=threads)
    failed = {failure.child for failure in failures}
    climbed, gone_on = (
        {
            (job.climber, job.precision): read(job.folder, climb=climb)
            for job in jobs
            if job.task == task_of and job.name not in failed
        }
        for task_of in (CLIMB, GO_ON)
    )
    seen = Ladder(tuple(backends), climbed, gone_on, plan)
    return Ascent(seen, ladder.compare(seen), failures, time.perf_counter() - began)


def _jobs(
    backends: Sequence[str], plan: Plan, folder: Path, climb: str, *, with_oracle: bool
) -> list[Job]:
    """Return all jobs, the long ones first."""
    job = partial(Job, out=str(folder), climb=climb, plan=dataclasses.asdict(plan))
    places = list(product(plan.precisions, backends))
    climbs = [job(CLIMB, *place) for place in places]
    going_on = [job(GO_ON, *place, saved_by=backends) for place in places if plan.saved_after]
    oracle = [job(CLIMB, "float64", ORACLE)] if with_oracle else []
    first = len(backends)
    return [*climbs[:first], *oracle, *climbs[first:], *going_on]


def _child(job: Job) -> Child:
    """Return the process of `job`, which starts after those whose models it goes on with."""
    return Child(
        name=job.name,
        command=command(job),
        log=job.folder / "log.txt",
        environ=Climber.of(job.climber).environment(),
        after=tuple(writer.name for writer in job.writers()),
    )


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
