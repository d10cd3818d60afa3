"""Run a bench: a process for each backend and way, asked in turn, never two at a time."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from lenet_multi.bench.process import FailedError, Worker
from lenet_multi.bench.result import Bench, Row, Stages
from lenet_multi.bench.ways import OTHER_JIT, OURS, STOCK, Job
from lenet_multi.bench.worker import BUILD, CODE, FIRST, INPUT, ROUND, STAGES
from lenet_multi.config import TrainConfig
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.machine import children, environment, frameworks, signals

ROUNDS, FEW_ROUNDS = 7, 3
TIMEOUT = 180.0

Show = Callable[[str], None]


@dataclass
class _Trial:
    """A way to train, its process while it lives, and what was measured so far."""

    job: Job
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rounds: list[dict[str, float]] = field(default_factory=list)
    failure: str | None = None
    worker: Worker | None = None

    @property
    def way(self) -> str:
        return str(self.facts.get("way", self.job.way))

    def row(self) -> Row:
        facts = self.facts
        return Row(
            backend=self.job.backend,
            way=self.way,
            seconds=self.seconds,
            steps=facts.get("steps", {}),
            step_ms=[found["step_ms"] for found in self.rounds],
            predict_ms=[found["predict_ms"] for found in self.rounds],
            peak_mib=self.rounds[-1]["peak_mib"] if self.rounds else None,
            device=facts.get("device"),
            threads=facts.get("threads"),
            versions=facts.get("versions", {}),
            why_stock=facts.get("why_stock"),
            failure=self.failure,
        )


def run(
    config: TrainConfig,
    backends: Sequence[str] = (),
    *,
    rounds: int = ROUNDS,
    tries_jit: bool = True,
    threads: int | None = None,
    timeout: float = TIMEOUT,
) -> Bench:
    """Time stock Keras and ours on each of `backends` (default: all installed).

    `config` names the model and its data. Each way trains in a process of its own, on the same
    `threads` processors (default: all that this process may use), and the processes measure one
    after another, `rounds` times. `tries_jit` times stock Keras with the other `jit_compile` too. A
    way that takes longer than `timeout` seconds for one answer is a failure. Progress is shown on
    stderr. SIGINT and SIGTERM end the bench early; it then holds what was measured so far.

    Raises `UserError` when a backend is unknown or not installed, when the model or its data are
    refused, or when no backend can train the model.
    """
    backends = tuple(dict.fromkeys(backends)) or frameworks.installed()
    for backend in backends or (None,):
        frameworks.choose(backend, {})
    if rounds < 1:
        raise UserError(f"--rounds must be at least 1, not {rounds}")
    most = environment.threads()
    threads = most if threads is None else threads
    if not 1 <= threads <= most:
        raise UserError(
            f"--threads must be between 1 and {most}, the processors that this process may use, "
            f"not {threads}"
        )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, children.bars() as bars:
        session = _Session(config, Path(folder), _processors(threads), timeout, bars)
        stopped_by = None
        try:
            with signals.obeying(signals.stop):
                session.measure(backends, rounds, tries_jit=tries_jit)
        except StoppedError as stopped:
            stopped_by = stopped.signal_number
        finally:
            session.close()
    trials = session.trials
    return Bench(
        model=config.architecture,
        config=config,
        rows=tuple(trial.row() for trial in trials),
        stages=session.stages,
        rounds=rounds,
        threads=threads,
        machine=environment.machine(),
        seconds=time.perf_counter() - began,
        parameters=next((t.facts["parameters"] for t in trials if t.facts), None),
        stopped_by=stopped_by,
    )


def _processors(threads: int) -> tuple[int, ...]:
    named = hasattr(os, "sched_getaffinity")
    return tuple(sorted(os.sched_getaffinity(0))[:threads]) if named else ()


class _Session:
    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        processors: Sequence[int],
        timeout: float,
        bars: Progress,
    ) -> None:
        self.config, self.folder, self.processors = config, folder, processors
        self.timeout, self.bars = timeout, bars
        self.trials: list[_Trial] = []
        self.stages: dict[str, Stages] = {}
        self.shown: set[str] = set()  # the users' errors whose traceback was printed
        self.noted: set[str] = set()  # what was said of the data
        self.bar = bars.add_task("start")

    def measure(self, backends: Sequence[str], rounds: int, *, tries_jit: bool) -> None:
        """Start all ways, time them in turn, and look where the time goes."""
        ways = (STOCK, OTHER_JIT, OURS) if tries_jit else (STOCK, OURS)
        asked = len(backends) * len(ways) * (2 + rounds)
        self.bars.update(self.bar, total=asked)
        for backend in backends:
            for way in ways:
                trial = self._start(Job(backend, way, self.config, self.processors))
                if way == STOCK and trial.failure:
                    break  # the others would fail alike
        if all(trial.failure for trial in self.trials):
            self._refuse()
        for index in range(rounds):
            for trial in self.trials:
                if found := self._ask(trial, ROUND, f"round {index + 1} of {rounds}"):
                    trial.rounds.append(found)
        self._explain()

    def _start(self, job: Job) -> _Trial:
        trial = _Trial(job)
        self.trials.append(trial)
        folder = self.folder / f"{len(self.trials)}"
        trial.worker = Worker(job, folder)
        for request, words in ((BUILD, "import and build"), (FIRST, "first step")):
            if found := self._ask(trial, request, words):
                trial.seconds |= found.pop("seconds")
                self._note(found.pop("notes", ()))
                trial.facts |= found
        return trial

    def _ask(self, trial: _Trial, request: str, words: str) -> dict[str, Any] | None:
        """Return the answer of a trial's process; None if it failed, now or before."""
        self.bars.update(self.bar, description=f"{trial.job.backend}, {trial.way}: {words}")
        try:
            if trial.worker and not trial.failure:
                return trial.worker.ask(request, timeout=self.timeout)
        except FailedError as error:
            assert trial.worker
            if error.fault == CODE:
                self._show(trial.worker.traceback)
            trial.failure = str(error)
            trial.worker.close()
            if error.fault == INPUT and trial.job.way == STOCK:
                raise UserError(str(error)) from error
        finally:
            self.bars.advance(self.bar)
        return None

    def _note(self, notes: Sequence[str]) -> None:
        """Print each line on the data once: every process reads the same."""
        for line in notes:
            if line not in self.noted:
                self.noted.add(line)
                self._print(f"Data: {line}\n")

    def _print(self, text: str) -> None:
        self.bars.console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def _show(self, traceback: str) -> None:
        """Print a user's traceback once, however many backends raise the same error."""
        error = traceback.rstrip().rpartition("\n")[2]
        if error not in self.shown:
            self.shown.add(error)
            self._print(traceback)

    def _refuse(self) -> None:
        """Raise `UserError`: nothing trains."""
        first = self.trials[0]
        if self.shown:
            raise UserError(str(first.failure))
        raise UserError(
            f"{self.config.architecture} trains on no backend; {first.job.backend} says: "
            f"{first.failure}; make `fit` of Keras train it first"
        )

    def _explain(self) -> None:
        """Time the stages of stock Keras on the fastest and on the slowest backend."""
        rows = [(trial.row(), trial) for trial in self.trials]
        timed = [(row, trial) for row, trial in rows if row.is_timed]
        best = {
            backend: min(row.step for row, _ in timed if row.backend == backend)
            for backend in {row.backend for row, _ in timed}
        }
        if not best:
            return
        for backend in {min(best, key=best.__getitem__), max(best, key=best.__getitem__)}:
            stock = [pair for pair in timed if pair[0].backend == backend and pair[1].job.is_stock]
            if not stock:
                continue
            row, trial = min(stock, key=lambda pair: pair[0].step)
            self.bars.update(self.bar, description=f"{row.name}: its stages")
            assert trial.worker
            try:
                found = trial.worker.ask(STAGES, timeout=self.timeout)
            except FailedError:  # no reason to give; the figures stand
                continue
            self.stages[backend] = Stages(way=row.way, **found)

    def close(self) -> None:
        """End all processes."""
        for trial in self.trials:
            if trial.worker:
                trial.worker.close()
