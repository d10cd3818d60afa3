"""A measurement: what was measured, where, how, and every sample."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

UNSTABLE = 0.10  # a measurement with a larger spread is marked


@dataclass
class Record:
    """Samples of one measure of one way on one backend, in `unit`, with their context.

    `rounds` holds the round of each sample. If it is empty, each round has one sample.
    """

    measure: str
    backend: str
    way: str
    unit: str
    values: list[float]
    context: dict[str, Any] = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)

    def key(self) -> tuple[str, ...]:
        """Return the fields that identify this measurement within its run."""
        return (self.measure, self.backend, self.way, *map(str, self.context.items()))

    @property
    def median(self) -> float:
        """The median sample."""
        return statistics.median(self.values)

    def by_round(self) -> dict[int, list[float]]:
        """Return the samples of each round, in order."""
        found: dict[int, list[float]] = defaultdict(list)
        for number, value in zip(self.rounds or range(len(self.values)), self.values, strict=True):
            found[number].append(value)
        return found

    @property
    def spread(self) -> float:
        """The range of the middle half of the samples, as a share of the median."""
        if len(self.values) < 2:
            return 0.0
        lower, _, upper = statistics.quantiles(self.values, n=4, method="inclusive")
        return (upper - lower) / self.median

    @property
    def unstable(self) -> bool:
        """Whether the samples spread too far for a meaningful median."""
        return self.spread > UNSTABLE


def pairs(first: Record, second: Record) -> list[tuple[float, float]]:
    """Return pairs of samples from the same round; a slow spell then affects both.

    Rounds that have only one of the two are skipped. If a round has more samples of one than of the
    other, it gives one pair of medians.
    """
    found: list[tuple[float, float]] = []
    theirs = second.by_round()
    for number, ours in first.by_round().items():
        others = theirs.get(number, [])
        if len(ours) == len(others):
            found += zip(ours, others, strict=True)
        elif others:
            found.append((statistics.median(ours), statistics.median(others)))
    return found


def ratios(first: Record, second: Record) -> list[float]:
    """Return the ratio of each pair of samples."""
    return [one / other for one, other in pairs(first, second)]
