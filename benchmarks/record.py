"""A measurement: what, where, how, and every sample of it."""

import statistics
from dataclasses import dataclass, field
from typing import Any

UNSTABLE = 0.10  # spread over which a measurement is marked


@dataclass
class Record:
    """Samples of one measure of one way on one backend, in `unit`, and what else matters."""

    measure: str
    backend: str
    way: str
    unit: str
    values: list[float]
    context: dict[str, Any] = field(default_factory=dict)

    def key(self) -> tuple[str, ...]:
        """Return what tells this measurement from others of the same run."""
        return (self.measure, self.backend, self.way, *map(str, self.context.items()))

    @property
    def median(self) -> float:
        """The median sample."""
        return statistics.median(self.values)

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
    """Return the ratios of samples taken one after the other, so that a slow spell cancels out.

    Where a run was cut short, the sample that has no partner is left out.
    """
    return [a / b for a, b in zip(first.values, second.values, strict=False)]
