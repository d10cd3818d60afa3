"""Are two backends' test metrics equivalent? Two one-sided tests over paired seeds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05  # of each one-sided test; the interval has the level 1 - 2 * LEVEL


@dataclass(frozen=True)
class Equivalence:
    """The result for paired differences, in the unit of the margin."""

    pairs: int
    mean: float
    low: float  # the lower end of the mean's 90 % confidence interval
    high: float  # its upper end
    p_value: float  # the larger one of the two tests
    margin: float

    @property
    def passed(self) -> bool:
        """Whether the whole interval lies within the margin on both sides."""
        return -self.margin < self.low and self.high < self.margin


def two_one_sided_tests(differences: NDArray[np.float64], *, margin: float) -> Equivalence:
    """Return whether the mean of paired `differences` (N,) is within `margin` of 0.

    Schuirmann (1987): two means are equivalent at 5 % when both one-sided t-tests, against -margin
    and +margin, reject; the 90 % interval then lies inside. When all differences are equal, there
    is no spread to estimate, and the interval is a point.
    Raises `ValueError` for fewer than two differences.
    """
    if len(differences) < 2:
        raise ValueError("two or more differences are needed")
    mean = float(np.mean(differences))
    if np.ptp(differences) == 0:
        low = high = mean
        p_value = 0.0 if abs(mean) < margin else 1.0
    else:
        low, high = stats.ttest_1samp(differences, 0).confidence_interval(1 - 2 * LEVEL)
        above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        p_value = max(above, below)
    return Equivalence(len(differences), mean, float(low), float(high), float(p_value), margin)
