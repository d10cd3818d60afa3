"""Every tolerance of the comparison, once: its value, the reason, the margin measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """The largest gap that passes, why, and what real runs showed."""

    value: float
    unit: str
    reason: str
    measured: str


TEST_ACCURACY = Tolerance(
    value=0.5,
    unit="percentage points",
    reason="TODO",
    measured="TODO",
)
