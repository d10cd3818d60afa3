"""L5, the outcome: train each backend from each of many seeds; stopped runs continue."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np

from lenet_multi.config import TrainConfig, flags
from lenet_multi.errors import UserError
from lenet_multi.machine import children, environment
from lenet_multi.machine.children import Child, Failure
from lenet_multi.parity.equivalence import Equivalence, two_one_sided_tests
from lenet_multi.parity.plan import require_two
from lenet_multi.runs import durable
from lenet_multi.runs.comparison import put_to_the_checks
from lenet_multi.runs.durable import writing
from lenet_multi.runs.folder import unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import Run, read_run
from lenet_multi.runs.tolerances import EQUIVALENCE

SCHEMA_VERSION = 1

STUDY = "seeds.json"
MOST_SEEDS = 10_000  # a month of training


@dataclass(frozen=True)
class Outcome:
    """How two backends compare over the same seeds."""

    pair: tuple[str, str]
    accuracy: Equivalence  # in percentage points
    agreement: float  # the share of test images with the same answer, the mean over seeds


@dataclass(frozen=True)
class Study:
    """Runs by (seed, backend), the outcome of each pair, and the runs that failed."""

    runs: dict[tuple[int, str], Run]
    outcomes: list[Outcome]
    failures: list[Failure]

    @property
    def passed(self) -> bool:
        """Whether every run finished and every pair is equivalent."""
        return not self.failures and all(outcome.accuracy.passed for outcome in self.outcomes)


def study(
    backends: Sequence[str], seeds: int, config: TrainConfig, folder: Path, *, timeout: float
) -> Study:
    """Train `backends` on seeds 0 to `seeds` - 1 where `folder` lacks the run, then compare.

    Finished runs are read, stopped ones continue. A failed run does not stop the others.
    Raises `UserError` for fewer than two seeds or backends, more than `MOST_SEEDS` seeds, or a run
    in `folder` with other settings, data or versions.
    """
    if seeds < 2:
        raise UserError(f"--seeds must be at least 2, for an interval, not {seeds}")
    if seeds > MOST_SEEDS:
        raise UserError(f"--seeds must be {MOST_SEEDS:,} at most, not {seeds}")
    require_two(backends)
    wanted = list(product(range(seeds), backends))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # Read first: a run of another study would waste hours of training.
    found = {who: _read(folder, who, config) for who in wanted}
    missing = [who for who in wanted if found[who] is None]
    failures = children.run([_child(folder, who, config) for who in missing], timeout=timeout)
    failed = {failure.child for failure in failures}
    found |= {who: _read(folder, who, config) for who in missing if _name(who) not in failed}
    runs = {who: run for who, run in found.items() if isinstance(run, Run)}
    failures += [failure for failure in found.values() if isinstance(failure, Failure)]
    if len(data := {run.result.data_sha256 for run in runs.values()}) > 1:
        raise UserError(f"the runs in {folder} saw {len(data)} data sets; choose another --out")
    failures += _unlike(runs, seeds)
    return Study(runs, list(_outcomes(runs, backends)), failures)


def _unlike(runs: dict[tuple[int, str], Run], seeds: int) -> list[Failure]:
    """Return the checks of `compare` that a seed's runs fail, such as weights, order or counts."""
    return [
        Failure(f"seed {seed}", f"differs between backends in: {check.name}", [*check.shown])
        for seed in range(seeds)
        if (of_seed := [run for (own, _), run in runs.items() if own == seed])
        for check in put_to_the_checks(of_seed).checks
        if not check.passed
    ]


def _name(who: tuple[int, str]) -> str:
    return f"seed-{who[0]}-{who[1]}"


def _child(folder: Path, who: tuple[int, str], config: TrainConfig) -> Child:
    place, config = folder / _name(who), dataclasses.replace(config, seed=who[0])
    how = ["--recipe", config.recipe, *flags(config), "--out", str(place), "--overwrite"]
    if _can_go_on(place, who[1], config):
        how = ["--resume", str(place)]
    return Child(
        name=_name(who),
        command=(sys.executable, "-m", "lenet_multi.train", "--backend", who[1], *how),
        log=folder / "logs" / f"{_name(who)}.txt",
    )


def _can_go_on(place: Path, backend: str, config: TrainConfig) -> bool:
    """Return whether a stopped run of this study can continue at `place`."""
    try:
        journal = Journal.read(unfinished(place))
    except UserError:
        return False
    begun = [start["versions"] for start in journal.starts]
    return journal.config == config and begun == [environment.versions(backend)] * len(begun)


def _read(folder: Path, who: tuple[int, str], config: TrainConfig) -> Run | Failure | None:
    """Return the run, or None where there is none, or the reason why it cannot be read."""
    place = folder / _name(who)
    if not place.exists():
        return None
    try:
        run = read_run(place)
    except UserError as error:  # damaged, or diverged
        return Failure(_name(who), f"left no run to compare: {error}", [])
    found = {**run.result.config, **run.result.versions}
    settings = dataclasses.asdict(config) | {"seed": who[0]}
    for name, asked in {**settings, **environment.versions(who[1])}.items():
        if found.get(name) != asked:
            raise UserError(
                f"{place} was trained with {name} {found.get(name)}, not {asked}; delete it or "
                "choose another --out"
            )
    return run


def _outcomes(runs: dict[tuple[int, str], Run], backends: Sequence[str]) -> Iterator[Outcome]:
    """Yield each pair's outcome over the seeds that both finished, if there are two or more."""
    for first, second in combinations(backends, 2):
        seeds = [seed for seed, backend in runs if backend == first and (seed, second) in runs]
        both = [(runs[seed, first], runs[seed, second]) for seed in seeds]
        if len(both) < 2:
            continue
        gaps = [100 * (a.result.headline[1] - b.result.headline[1]) for a, b in both]
        alike = [np.mean(a.outputs.argmax(axis=1) == b.outputs.argmax(axis=1)) for a, b in both]
        accuracy = two_one_sided_tests(np.array(gaps), margin=EQUIVALENCE.value)
        yield Outcome((first, second), accuracy, float(np.mean(alike)))


def write_json(found: Study, config: TrainConfig, path: Path) -> None:
    """Write outcomes and runs as JSON, each run with its wrong answers by test image."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "passed": found.passed,
        "config": dataclasses.asdict(config),
        "machine": environment.machine(),
        "versions": {k: v for run in found.runs.values() for k, v in run.result.versions.items()},
        "failures": [dataclasses.asdict(failure) for failure in found.failures],
        "outcomes": [
            {**dataclasses.asdict(outcome), "passed": outcome.accuracy.passed}
            for outcome in found.outcomes
        ],
        "runs": [_record(seed, backend, run) for (seed, backend), run in found.runs.items()],
    }
    with writing(path):
        durable.write_json(path, content, indent=None)


def _record(seed: int, backend: str, run: Run) -> dict[str, object]:
    answers = run.outputs.argmax(axis=1)
    wrong = np.flatnonzero(answers != run.targets)
    return {
        "seed": seed,
        "backend": backend,
        "test_correct": run.result.test_correct,
        "test_loss": run.result.test_loss,
        "final_weights_sha256": run.result.final_weights_sha256,
        "wrong": {str(image): int(answers[image]) for image in wrong},
    }
