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

    def medians(self) -> dict[int, float]:
        """Return the median sample of each round."""
        found: dict[int, list[float]] = defaultdict(list)
        for number, value in zip(self.rounds or range(len(self.values)), self.values, strict=True):
            found[number].append(value)
        return {number: statistics.median(values) for number, values in found.items()}

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


def ratios(first: Record, second: Record) -> list[float]:
    """Return, for each round in which both were taken, the ratio of their medians there.

    They were taken one after the other, so that a slow spell cancels out.
    """
    theirs = second.medians()
    return [a / theirs[number] for number, a in first.medians().items() if number in theirs]
