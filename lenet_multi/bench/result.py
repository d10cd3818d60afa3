"""What a bench found: a row for each way to train, where the time goes, and the one to take."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from lenet_multi.bench.ways import OURS, STOCK
from lenet_multi.config import TrainConfig
from lenet_multi.runs import durable
from lenet_multi.runs.durable import writing

SCHEMA_VERSION = 1
FILE = "bench.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to train on one backend: its figures, or why it has none."""

    backend: str
    way: str
    seconds: Mapping[str, float] = field(default_factory=dict)  # import, data, build, first step
    steps: Mapping[str, int] = field(default_factory=dict)  # in a round of "step" and "predict"
    step_ms: Sequence[float] = ()  # milliseconds of a training step, one figure for each round
    predict_ms: Sequence[float] = ()  # of a batch of `predict`
    peak_mib: float | None = None  # the process's largest memory
    device: str | None = None
    threads: int | None = None  # that the backend computes with, on a CPU
    versions: Mapping[str, str] = field(default_factory=dict)
    why_stock: str | None = None  # why stock Keras's step trains the model, where ours was asked
    failure: str | None = None

    @property
    def name(self) -> str:
        """The backend and the way, as people read them."""
        return f"{self.backend}, {self.way}"

    @property
    def is_timed(self) -> bool:
        """Whether there is a figure to compare."""
        return bool(self.step_ms) and not self.failure

    @property
    def step(self) -> float:
        """The median over the rounds of a training step, in milliseconds."""
        return median(self.step_ms)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Where a step of stock Keras spends its time, in milliseconds."""

    way: str
    step: float
    forward: float
    forward_and_backward: float
    layers: Sequence[Mapping[str, Any]]  # name, kind, ms: each layer's forward pass alone


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The figures of a bench."""

    model: str
    config: TrainConfig
    rows: Sequence[Row]
    stages: Mapping[str, Stages]  # by backend: the fastest and the slowest
    rounds: int
    threads: int
    machine: Mapping[str, str | int]
    seconds: float
    parameters: int | None = None
    stopped_by: int | None = None  # a signal's number, when it ended the bench early

    @property
    def best(self) -> Row | None:
        """The way with the shortest step; None if nothing was timed."""
        return fastest(self.rows)

    @property
    def sentence(self) -> str:
        """Which way to take, by what factor, and why."""
        from lenet_multi.bench import verdict

        return verdict.sentence(self)

    @property
    def backends(self) -> list[str]:
        """The backends, in their order."""
        return list(dict.fromkeys(row.backend for row in self.rows))

    def best_on(self, backend: str) -> Row | None:
        """Return the fastest way on `backend`."""
        return fastest([row for row in self.rows if row.backend == backend])

    def row(self, backend: str, way: str) -> Row | None:
        """Return the row of a way, if it was timed."""
        found = (row for row in self.rows if (row.backend, row.way) == (backend, way))
        return next((row for row in found if row.is_timed), None)

    def against_stock(self, backend: str) -> float | None:
        """Return ours as a multiple of stock Keras's time on `backend`; None without both."""
        ours, stock = self.row(backend, OURS), self.row(backend, STOCK)
        return ratio(ours, stock) if ours and stock else None

    def as_json(self) -> dict[str, Any]:
        """Return all figures, and what follows from them."""
        best = self.best
        content = dataclasses.asdict(self)
        return {
            "schema_version": SCHEMA_VERSION,
            **content,
            "best": {"backend": best.backend, "way": best.way} if best else None,
            "sentence": self.sentence,
        }

    def write(self, folder: Path) -> None:
        """Write `bench.json` to `folder`; raise `UserError` when it cannot be written."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            durable.write_json(folder / FILE, self.as_json())


def fastest(rows: Sequence[Row]) -> Row | None:
    """Return the row with the shortest step; None if none was timed."""
    return min((row for row in rows if row.is_timed), key=lambda row: row.step, default=None)


def ratio(row: Row, other: Row) -> float:
    """Return how many times as long `row`'s step takes: the median over rounds, taken in pairs."""
    return median(_ratios(row, other))


def is_clear(row: Row, other: Row) -> bool:
    """Return whether the same of the two was faster in every round."""
    ratios = _ratios(row, other)
    return min(ratios) > 1 or max(ratios) < 1


def _ratios(row: Row, other: Row) -> list[float]:
    return [one / two for one, two in zip(row.step_ms, other.step_ms, strict=False)]
