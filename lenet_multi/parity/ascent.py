"""The whole climb: send all climbers up, collect their evidence, compare it, record it."""

import dataclasses
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lenet_multi import data, durable, environment
from lenet_multi.backends import BACKENDS
from lenet_multi.errors import UserError
from lenet_multi.parity import children, figure, ladder
from lenet_multi.parity.children import Child, Failure
from lenet_multi.parity.climber import CLIMB, GO_ON, ONE_ULP, SAVED_MODEL, Job, command
from lenet_multi.parity.evidence import Evidence, read
from lenet_multi.parity.ladder import Finding, Ladder
from lenet_multi.parity.plan import ORACLE, PRECISIONS, Plan
from lenet_multi.runs import writing

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


def ascend(backends: Sequence[str], plan: Plan, folder: Path, *, timeout: float) -> Ascent:
    """Climb with all `backends` in child processes; their evidence stays in `folder`.

    A backend climbs in its fastest form, or as "BACKEND:FORM".

    Raises `UserError` when there are fewer than two backends, too few images, or `folder` is not
    empty or cannot be written.
    """
    if len(backends) < 2:
        raise UserError(
            f"parity needs two backends, found {', '.join(backends) or 'none'}; install another "
            f"of {', '.join(BACKENDS)} with pip"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; choose another --out")
    dataset = data.load(plan.config.data, classes=plan.config.classes)
    for precision in PRECISIONS:
        plan.training_images(dataset, precision)  # refused here and not in each child
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    climb = secrets.token_hex(8)
    jobs = _jobs(backends, plan, folder, climb)
    failures = children.run([_child(job, jobs) for job in jobs], timeout=timeout)
    failed = {failure.child for failure in failures}
    evidence = {
        (job.task, job.climber, job.precision): read(Path(job.folder), climb=climb)
        for job in jobs
        if job.name not in failed
    }
    climbed = _of(CLIMB, evidence)
    seen = Ladder(
        backends=tuple(backends),
        climbed=climbed,
        gone_on=_of(GO_ON, evidence),
        oracle=climbed.get((ORACLE, "float64")),
        one_ulp_off=_of(ONE_ULP, evidence).get((backends[0], "float32")),
        plan=plan,
    )
    return Ascent(seen, ladder.compare(seen), failures, time.perf_counter() - began)


def _of(
    task: str, evidence: dict[tuple[str, str, str], Evidence]
) -> dict[tuple[str, str], Evidence]:
    return {(who, p): found for (kind, who, p), found in evidence.items() if kind == task}


def _jobs(backends: Sequence[str], plan: Plan, folder: Path, climb: str) -> list[Job]:
    """Return all jobs, the long ones first."""

    def job(task: str, climber: str, precision: str) -> Job:
        return Job(
            task=task,
            climber=climber,
            precision=precision,
            folder=str(folder / f"{climber.replace(':', '-')}-{precision}-{task}"),
            climb=climb,
            plan=dataclasses.asdict(plan),
        )

    climbs = [job(CLIMB, who, precision) for precision, who in product(PRECISIONS, backends)]
    in_float32, in_float64 = climbs[: len(backends)], climbs[len(backends) :]
    going_on = [
        dataclasses.replace(
            job(GO_ON, reader, writers[0].precision),
            saved={writer.climber: f"{writer.folder}/{SAVED_MODEL}" for writer in writers},
        )
        for writers, reader in product((in_float32, in_float64), backends)
    ]
    others = job(ONE_ULP, backends[0], "float32"), job(CLIMB, ORACLE, "float64")
    return [*in_float32, *others, *in_float64, *going_on]


def _child(job: Job, jobs: Sequence[Job]) -> Child:
    """Return the process of `job`, which starts after those whose models it goes on with."""
    return Child(
        name=job.name,
        command=command(job),
        log=Path(job.folder, "log.txt"),
        after=tuple(
            other.name
            for other in jobs
            if other.task == CLIMB
            and other.climber in job.saved
            and other.precision == job.precision
        ),
    )


def write_json(ascent: Ascent, path: Path) -> None:
    """Write findings, failures, the figure's lines, versions and machine as JSON."""
    first = ladder.first_failure(ascent.findings)
    content = {
        "schema_version": SCHEMA_VERSION,
        "passed": ascent.passed,
        "first_failure": str(first) if first else None,
        "seconds": ascent.seconds,
        "machine": environment.machine(),
        "versions": _versions(ascent.ladder),
        "plan": dataclasses.asdict(ascent.ladder.plan),
        "failures": [dataclasses.asdict(failure) for failure in ascent.failures],
        "findings": [
            {**dataclasses.asdict(finding), "passed": finding.passed} for finding in ascent.findings
        ],
        "gaps": [dataclasses.asdict(line) for line in figure.lines(ascent.ladder)],
        "forms": {
            climber: evidence.record["form"]
            for (climber, _), evidence in ascent.ladder.climbed.items()
            if climber != ORACLE
        },
        "climber_seconds": {
            " ".join(who): evidence.record["seconds"]
            for who, evidence in ascent.ladder.climbed.items()
        },
    }
    with writing(path):
        durable.write_json(path, content)


def _versions(seen: Ladder) -> dict[str, str]:
    found: dict[str, str] = {}
    for evidence in seen.climbed.values():
        found |= evidence.record.get("versions", {})
    return found
