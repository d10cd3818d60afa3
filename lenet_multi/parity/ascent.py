"""The whole climb: run all climbers, collect their evidence, compare it, record it."""

import dataclasses
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

from lenet_multi.errors import StoppedError, UserError
from lenet_multi.machine import children, environment
from lenet_multi.machine.children import Failure
from lenet_multi.own.find import find_task
from lenet_multi.parity import devices, estimate, figure, ladder
from lenet_multi.parity.climber import CLIMB, GO_ON, SHARE, Climber, Job
from lenet_multi.parity.evidence import FACTS, Evidence, read
from lenet_multi.parity.known import Known
from lenet_multi.parity.ladder import Finding, Ladder
from lenet_multi.parity.plan import ORACLE, Plan, require_two
from lenet_multi.parity.prepare import prepare
from lenet_multi.parity.start import FOLDER
from lenet_multi.runs import durable
from lenet_multi.runs.durable import writing
from lenet_multi.runs.folder import refuse_used

SCHEMA_VERSION = 2  # 2: with the figure's lines

COMPARISON, FIGURE = "comparison.json", "gaps.png"


@dataclass(frozen=True)
class Ascent:
    """What the climb found, and which climbers failed; `stopped` by a signal, it is unfinished."""

    ladder: Ladder
    findings: list[Finding]
    failures: list[Failure]
    seconds: float
    known: list[Known] = field(default_factory=list)  # divergences that this model will meet
    stopped: StoppedError | None = None

    @property
    def passed(self) -> bool:
        """Whether every climber finished and every finding passed."""
        whole = not self.failures and not self.stopped
        return whole and all(finding.passed for finding in self.findings)


def ascend(
    backends: Sequence[str],
    plan: Plan,
    folder: Path,
    *,
    timeout: float,
    threads: int = 1,
    announce: Callable[[str], None] = lambda line: None,
) -> Ascent:
    """Climb with all `backends` in child processes; their evidence stays in `folder`.

    `backends` are names as in `Climber`. Each process computes with `threads` threads. Before the
    climb of a user's model, `announce` gets the estimate and the known divergences. A signal ends
    the climb; what was found until then is compared.

    Raises `UserError` when there are fewer than two backends or too few images, when this processor
    has too few cores or lacks an instruction set, when `folder` is not empty or not writable, or
    when a user's model cannot be climbed.
    """
    require_two(backends)
    if not 1 <= threads <= environment.threads():
        raise UserError(
            f"--threads must be between 1 and {environment.threads()}, the processors that this "
            f"process may use, not {threads}"
        )
    refuse_used(folder)
    began = time.perf_counter()
    known: list[Known] = []
    if plan.config.is_own:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        kinds = list(dict.fromkeys(Climber.of(name).backend for name in backends))
        start = prepare(plan, kinds, folder / FOLDER)
        known = [Known(**one) for one in start.facts["known"]]
        notes = start.facts["notes"]
        estimate.announce(start.facts, plan, backends, threads, announce)
        for one in known:
            announce(str(one))
        with_oracle = bool(start.facts["reference"])
    else:
        task = find_task(plan.config)
        dataset = task.load(plan.config)
        for precision in plan.precisions:
            plan.training_examples(dataset, precision)  # raise here, once, and not in each child
        with_oracle, notes = task.reference is not None, dataset.notes
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    for note in notes:
        announce(f"Data: {note}")
    jobs = _jobs(backends, plan, folder, secrets.token_hex(8), with_oracle=with_oracle)
    failures: list[Failure] = []
    stopped = None
    try:
        failures = _run(jobs, timeout, threads)
        found = _compared(jobs, failures, backends, plan)
        if again := _by_layer(jobs, found):
            jobs, failures = jobs + again, failures + _run(again, timeout, threads)
    except StoppedError as signalled:
        stopped = signalled
    found = _compared(jobs, failures, backends, plan, is_stopped=bool(stopped))
    seconds = time.perf_counter() - began
    findings = [*ladder.compare(found), *devices.compare(found)]
    return Ascent(found, findings, failures, seconds, known, stopped)


def _run(jobs: Sequence[Job], timeout: float, threads: int) -> list[Failure]:
    return children.run([job.child() for job in jobs], timeout=timeout, threads=threads)


def _compared(
    jobs: Sequence[Job],
    failures: Sequence[Failure],
    backends: Sequence[str],
    plan: Plan,
    *,
    is_stopped: bool = False,
) -> Ladder:
    """Return the evidence of the jobs that did not fail; a stopped one may have left a part."""
    failed = {failure.child for failure in failures}
    seen: dict[str, dict[tuple[str, str], Evidence]] = {CLIMB: {}, GO_ON: {}}
    shared: dict[tuple[str, str, int], Evidence] = {}
    for job in jobs:
        if job.name not in failed and (job.folder / FACTS).exists():
            # A stopped climber may have written half of a file.
            with suppress(UserError) if is_stopped else nullcontext():
                evidence = read(job.folder, climb=job.climb)
                if job.task == SHARE:
                    shared[job.climber, job.precision, job.devices] = evidence
                else:
                    seen[job.task][job.climber, job.precision] = evidence
    return Ladder(tuple(backends), seen[CLIMB], seen[GO_ON], plan, shared)


def _by_layer(jobs: Sequence[Job], found: Ladder) -> list[Job]:
    """Return the jobs that find the layer of a difference, where L6 did not do so already."""
    if not found.plan.config.is_own or found.gone_on:
        return []
    differ = {finding.precision for finding in ladder.compare(found) if not finding.passed}
    return [
        dataclasses.replace(job, task=GO_ON, saved_by=found.climbers(job.precision))
        for job in jobs
        if job.precision in differ and job.climber in found.climbers(job.precision)
    ]


def _jobs(
    backends: Sequence[str], plan: Plan, folder: Path, climb: str, *, with_oracle: bool
) -> list[Job]:
    """Return all jobs, the long ones first."""
    job = partial(Job, out=str(folder), climb=climb, plan=dataclasses.asdict(plan))
    places = list(product(plan.precisions, backends))
    jobs = [job(CLIMB, *place) for place in places]
    if with_oracle and "float64" in plan.precisions:
        jobs.insert(len(backends), job(CLIMB, "float64", ORACLE))
    jobs += [job(GO_ON, *place, saved_by=backends) for place in places if plan.saved_after]
    counts = (1, *plan.devices) if plan.devices else ()
    return jobs + [job(SHARE, *place, devices=count) for place in places for count in counts]


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
        "known": [dataclasses.asdict(one) for one in ascent.known],
        "null_tensors": sorted(ascent.ladder.null_tensors),
        "stopped": bool(ascent.stopped),
        "failures": [dataclasses.asdict(failure) for failure in ascent.failures],
        "findings": [
            {**dataclasses.asdict(finding), "passed": finding.passed} for finding in ascent.findings
        ],
        "gaps": [dataclasses.asdict(line) for line in figure.lines(ascent.ladder)],
        "forms": {who: record["form"] for who, record in records.items()},
        "instruction_sets": {who: record["instruction_set"] for who, record in records.items()},
        "climber_seconds": {
            " ".join(who): seen.record.get("seconds") for who, seen in climbed.items()
        },
    }
    with writing(path):
        durable.write_json(path, content)
