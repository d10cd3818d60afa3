"""Check a gradient by finite differences of the loss."""

from collections.abc import Callable, Sequence

import numpy as np

from lenet_multi.parity.evidence import Array
from lenet_multi.parity.twins import NULL
from lenet_multi.runs import tolerances

# Tensors that are checked, and the share of the loss by which a step changes it: large beside
# float64's rounding (1e-16), small beside the loss's curvature.
TENSORS, SHARE_OF_LOSS = 8, 1e-7

# A second step is this much smaller. Curvature makes slopes differ by a share of the step; a kink
# at the point itself makes them differ by the same at every step.
SMALLER = 1 / 32

Slopes = tuple[float, float]  # before and after the point


def along(
    gradient: Sequence[Array],
    weights: Sequence[Array],
    loss: float,
    loss_at: Callable[[list[Array]], float],
    places: Sequence[int],
) -> dict[int, tuple[float, *Slopes, *Slopes]]:
    """Return the length of some tensors' gradients and the loss's slopes along each, by place.

    The tensors are some of `places`; their shapes are any. Along its gradient g a loss f has the
    slope |g|. The differences (f(w) - f(w - h g/|g|)) / h and (f(w + h g/|g|) - f(w)) / h are off
    by terms of h, their mean by terms of h^2. They come for two steps h, the larger one first.
    """
    sizes = {place: float(np.linalg.norm(gradient[place])) for place in places}
    least = NULL * max(sizes.values(), default=0.0)
    checked = [place for place, size in sizes.items() if size > least]

    def slopes(place: int, step: float) -> Slopes:
        ends = []
        for sign in (-1, 1):
            moved = list(weights)
            moved[place] = weights[place] + sign * step * gradient[place] / sizes[place]
            ends.append(loss_at(moved))
        return (loss - ends[0]) / step, (ends[1] - loss) / step

    found = {}
    for place in checked[:: -(-len(checked) // TENSORS) or 1]:
        step = SHARE_OF_LOSS * abs(loss) / sizes[place]
        found[place] = sizes[place], *slopes(place, step), *slopes(place, SMALLER * step)
    return found


def gap(size: float, *slopes: float) -> float:
    """Return by what share a gradient's length differs from the slopes; 0 at a kink.

    `slopes` are those of `along`. At a kink, as of selu at 0, the loss has no gradient, and a
    backend may choose any side. Beside a kink, as of relu, the slope of one side is right; on a
    curve the mean of two sides is.
    """
    pairs = [np.array(slopes[:2]), np.array(slopes[2:])]
    wide, narrow = (float(np.ptp(pair)) for pair in pairs)
    if narrow > max(wide / 2, tolerances.FINITE_DIFFERENCES.value * size):
        return 0.0
    right = [*slopes[2:], *(float(pair.mean()) for pair in pairs)]
    return min(abs(slope - size) for slope in right) / size
