"""Split the levels of an image in two, as Otsu did."""

import numpy as np
from numpy.typing import NDArray

from lenet_multi.lenet.photographs.ink import LEAST_CONTRAST

_TWO_LEVELS = 0.8  # of the variance; of even light it is 0.75, of noise 0.64


def threshold(levels: NDArray[np.floating]) -> tuple[float, float]:
    """Return the level that best parts `levels`, and the share of the variance that it explains.

    Higher levels belong to the upper part. Otsu, 1979, "A threshold selection method from
    gray-level histograms".
    """
    ordered = np.sort(levels, axis=None).astype(np.float64)
    below = np.arange(1, len(ordered))
    above = len(ordered) - below
    sums = np.cumsum(ordered)[:-1]
    apart = sums / below - (ordered.sum() - sums) / above
    between = below * above * apart**2 / len(ordered) ** 2
    best = int(between.argmax())
    return float(ordered[best]), float(between[best] / max(ordered.var(), 1e-12))


def between_two(levels: NDArray[np.floating]) -> float | None:
    """Return the threshold if pixels are either ground or ink, else None.

    Light and noise alone have levels between.
    """
    if levels.size < 2 or np.ptp(levels) < LEAST_CONTRAST:
        return None
    best, share = threshold(levels)
    return best if share >= _TWO_LEVELS else None


def has_two(levels: NDArray[np.floating]) -> bool:
    """Return whether pixels are either ground or ink."""
    return between_two(levels) is not None
