"""L5, the outcome: train each backend from each of many seeds; stopped runs continue."""

import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from lenet_multi.config import MODELS_OWN, TrainConfig, flags
from lenet_multi.errors import UserError
from lenet_multi.machine import children, cluster, environment
from lenet_multi.machine.children import Child, Failure
from lenet_multi.parity.equivalence import Equivalence, two_one_sided_tests
from lenet_multi.parity.plan import require_two
from lenet_multi.runs import durable
from lenet_multi.runs.comparison import checks_of_start
from lenet_multi.runs.durable import writing
from lenet_multi.runs.folder import unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import Result, Run, read_run
from lenet_multi.runs.tolerances import EQUIVALENCE

SCHEMA_VERSION = 2  # 2: of any metric, with its unit and margin

STUDY = "seeds.json"
MOST_SEEDS = 10_000  # a month of training

_METRICS_UNIT = "the metric's own"
# In the log of a child whose input was bad.
_TRACE, _MESSAGE = "Traceback (most recent call last):", "lenet-multi: "


@dataclass(frozen=True)
class Outcome:
    """How two backends compare over the same seeds."""

    pair: tuple[str, str]
    gap: Equivalence  # of the headline, in the study's unit
    agreement: float | None  # a classifier's share of equal test answers, the mean over seeds


@dataclass(frozen=True)
class Study:
    """Runs by (seed, backend), the outcome of each pair, and the runs that failed."""

    runs: dict[tuple[int, str], Run]
    outcomes: list[Outcome]
    failures: list[Failure]
    margin: float

    @property
    def metric(self) -> str:
        """The headline of the runs, which is compared."""
        return next((run.result.headline[0] for run in self.runs.values()), "metric")

    @property
    def unit(self) -> str:
        """The unit of gaps and margin: percentage points, or the metric's own."""
        of_classifiers = any(run.result.classifies for run in self.runs.values())
        return EQUIVALENCE.unit if of_classifiers else _METRICS_UNIT

    @property
    def passed(self) -> bool:
        """Whether every run finished and every pair is equivalent."""
        return not self.failures and all(outcome.gap.passed for outcome in self.outcomes)


def study(
    backends: Sequence[str],
    seeds: int,
    config: TrainConfig,
    folder: Path,
    *,
    timeout: float,
    margin: float | None = None,
    scheduler: str | None = None,
) -> Study:
    """Train `backends` on seeds 0 to `seeds` - 1 where `folder` lacks the run, then compare.

    `margin` is the largest gap that is no difference, in the unit of `Study` (default: that of
    `EQUIVALENCE`, for a model of this package). Workers of the Dask cluster whose `scheduler` has
    this address train; without one, the processors of this machine do. Finished runs are read,
    stopped ones continue. A failed run does not stop the others, but what refuses a user's model at
    the first seed stops all. Raises `UserError` then, for a margin that is missing or not above 0,
    for fewer than two seeds or backends, more than `MOST_SEEDS` seeds, or a run in `folder` with
    other settings, data, versions or another model.
    """
    margin = _margin(margin, config)
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
    # A user's code that fails would fail again at every seed.
    first = [who for who in missing if who[0] == 0 and config.is_own]
    probes = [_child(folder, who, config) for who in first]
    if scheduler is None:
        run = partial(children.run, timeout=timeout)
    else:
        run = partial(cluster.run, address=scheduler, backends=backends, timeout=timeout)
    failures = run(probes)
    _refuse(probes, failures)
    rest = [_child(folder, who, config) for who in missing if who not in first]
    failures += run(rest)
    failed = {failure.child for failure in failures}
    found |= {who: _read(folder, who, config) for who in missing if _name(who) not in failed}
    runs = {who: run for who, run in found.items() if isinstance(run, Run)}
    failures += [failure for failure in found.values() if isinstance(failure, Failure)]
    _refuse_mixed(folder, [run.result for run in runs.values()])
    failures += _unlike(runs, seeds)
    return Study(runs, list(_outcomes(runs, backends, margin)), failures, margin)


def notes(folder: Path) -> list[str]:
    """Return what the runs in `folder` said of their data, each line once."""
    logs = [log.read_text(errors="replace") for log in sorted((folder / "logs").glob("*.txt"))]
    lines = [line for log in logs for line in log.splitlines() if line.startswith("Data: ")]
    return list(dict.fromkeys(lines))


def _margin(given: float | None, config: TrainConfig) -> float:
    """Return the margin; raise `UserError` when a user's model has none, or it is not above 0."""
    if given is None:
        if config.is_own:
            first = config.metrics.partition(",")[0]
            whose = f"the first metric of {config.architecture}"
            raise UserError(
                f"--seeds needs a --margin for {whose if first == MODELS_OWN else first}; give the "
                "largest gap that is no difference to you"
            )
        return EQUIVALENCE.value
    if not 0 < given < math.inf:
        raise UserError(f"--margin must be a finite number above 0, not {given}")
    return given


def _refuse(run: Sequence[Child], failures: Sequence[Failure]) -> None:
    """Raise the `UserError` of the first child that had one, below its traceback if any."""
    refused = {failure.child for failure in failures if failure.is_refusal}
    for child in run:
        if child.name not in refused:
            continue
        said = child.log.read_text(errors="replace").splitlines()
        messages = [line for line in said if line.startswith(_MESSAGE)]
        if _TRACE in said:
            print(*said[said.index(_TRACE) : said.index(messages[-1])], sep="\n", file=sys.stderr)
        raise UserError(messages[-1].removeprefix(_MESSAGE))


def _refuse_mixed(folder: Path, results: Sequence[Result]) -> None:
    """Raise `UserError` unless all runs saw the same data, and have the same model and headline."""
    seen: dict[str, set[Any]] = {
        "saw {} data sets": {result.data_sha256 for result in results},
        "are of models with {} numbers of parameters": {result.parameters for result in results},
        "have {} first metrics": {result.headline[0] for result in results},
    }
    for words, found in seen.items():
        if len(found) > 1:
            what = words.format(len(found))
            raise UserError(f"the runs in {folder} {what}; choose another --out")


def _unlike(runs: dict[tuple[int, str], Run], seeds: int) -> list[Failure]:
    """Return the checks of `compare` that a seed's runs fail, such as weights, order or counts."""
    return [
        Failure(f"seed {seed}", f"differs between backends in: {check.name}", [*check.shown])
        for seed in range(seeds)
        if (of_seed := [run for (own, _), run in runs.items() if own == seed])
        for check in checks_of_start(of_seed)
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
        folders=(place, unfinished(place)),
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
    # An older run lacks newer settings, which have their defaults.
    found = {**dataclasses.asdict(TrainConfig()), **run.result.config, **run.result.versions}
    settings = dataclasses.asdict(config) | {"seed": who[0]}
    for name, asked in {**settings, **environment.versions(who[1])}.items():
        if found.get(name) != asked:
            raise UserError(
                f"{place} was trained with {name} {found.get(name)}, not {asked}; delete it or "
                "choose another --out"
            )
    return run


def _outcomes(
    runs: dict[tuple[int, str], Run], backends: Sequence[str], margin: float
) -> Iterator[Outcome]:
    """Yield each pair's outcome over the seeds that both finished, if there are two or more."""
    for first, second in combinations(backends, 2):
        seeds = [seed for seed, backend in runs if backend == first and (seed, second) in runs]
        both = [(runs[seed, first], runs[seed, second]) for seed in seeds]
        if len(both) < 2:
            continue
        gaps = np.array([a.result.headline[1] - b.result.headline[1] for a, b in both])
        agreement = None
        if both[0][0].result.classifies:
            gaps *= 100
            alike = [np.mean(a.outputs.argmax(axis=1) == b.outputs.argmax(axis=1)) for a, b in both]
            agreement = float(np.mean(alike))
        yield Outcome((first, second), two_one_sided_tests(gaps, margin=margin), agreement)


def write_json(found: Study, config: TrainConfig, path: Path) -> None:
    """Write outcomes and runs as JSON, a classifier's with its wrong answers by test image."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "passed": found.passed,
        "metric": found.metric,
        "unit": found.unit,
        "margin": found.margin,
        "config": dataclasses.asdict(config),
        "machine": environment.machine(),
        "versions": {k: v for run in found.runs.values() for k, v in run.result.versions.items()},
        "failures": [dataclasses.asdict(failure) for failure in found.failures],
        "outcomes": [
            {**dataclasses.asdict(outcome), "passed": outcome.gap.passed}
            for outcome in found.outcomes
        ],
        "runs": [_record(seed, backend, run) for (seed, backend), run in found.runs.items()],
    }
    with writing(path):
        durable.write_json(path, content, indent=None)


def _record(seed: int, backend: str, run: Run) -> dict[str, object]:
    record: dict[str, object] = {
        "seed": seed,
        "backend": backend,
        "test_metric": run.result.headline[1],
        "test_loss": run.result.test_loss,
        "final_weights_sha256": run.result.final_weights_sha256,
    }
    if run.result.classifies:
        answers = run.outputs.argmax(axis=1)
        wrong = np.flatnonzero(answers != run.targets)
        record["test_correct"] = run.result.test_correct
        record["wrong"] = {str(image): int(answers[image]) for image in wrong}
    return record
