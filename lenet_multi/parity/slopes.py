"""Check a gradient by finite differences of the loss."""

from collections.abc import Callable, Sequence

import numpy as np

from lenet_multi.parity.evidence import Array
from lenet_multi.parity.twins import NULL
from lenet_multi.runs import tolerances

# Tensors that are checked, and the share of the loss by which a step changes it: large beside
# float64's rounding (1e-16), small beside the loss's curvature.
TENSORS, SHARE_OF_LOSS = 8, 1e-7


def along(
    gradient: Sequence[Array],
    weights: Sequence[Array],
    loss: float,
    loss_at: Callable[[list[Array]], float],
    places: Sequence[int],
) -> dict[int, tuple[float, float, float]]:
    """Return the length of some tensors' gradients and the loss's two slopes along each, by place.

    The tensors are some of `places`; their shapes are any. Along its gradient g a loss f has the
    slope |g|. The differences (f(w) - f(w - h g/|g|)) / h and (f(w + h g/|g|) - f(w)) / h are off
    by terms of h. At a kink, as of selu at 0, they are two slopes.
    """
    sizes = {place: float(np.linalg.norm(gradient[place])) for place in places}
    least = NULL * max(sizes.values(), default=0.0)
    checked = [place for place, size in sizes.items() if size > least]
    found = {}
    for place in checked[:: -(-len(checked) // TENSORS) or 1]:
        step = SHARE_OF_LOSS * abs(loss) / sizes[place]
        ends = []
        for sign in (1, -1):
            moved = list(weights)
            moved[place] = weights[place] + sign * step * gradient[place] / sizes[place]
            ends.append(loss_at(moved))
        found[place] = sizes[place], (loss - ends[1]) / step, (ends[0] - loss) / step
    return found


def gap(size: float, before: float, after: float) -> float:
    """Return by what share a gradient's length differs from the two slopes; 0 at a kink.

    At a kink the slopes differ. Then the loss has no gradient, and a backend may choose any side.
    """
    if abs(after - before) > tolerances.FINITE_DIFFERENCES.value * size:
        return 0.0
    return abs((before + after) / 2 - size) / size
