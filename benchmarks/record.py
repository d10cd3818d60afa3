"""A measurement: what, where, how, and every sample of it."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

UNSTABLE = 0.10  # spread over which a measurement is marked


@dataclass
class Record:
    """Samples of one measure of one way on one backend, in `unit`, and what else matters.

    `rounds` says in which round of its run each was taken; empty, one in each.
    """

    measure: str
    backend: str
    way: str
    unit: str
    values: list[float]
    context: dict[str, Any] = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)

    def key(self) -> tuple[str, ...]:
        """Return what tells this measurement from others of the same run."""
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
        """Whether the samples spread too far for the median to mean much."""
        return self.spread > UNSTABLE


def pairs(first: Record, second: Record) -> list[tuple[float, float]]:
    """Return the samples that were taken one after the other, so that a slow spell meets both.

    Of each round in which both were taken; the medians there where one was taken more often.
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
    """Return the ratio of each of their `pairs`."""
    return [one / other for one, other in pairs(first, second)]
