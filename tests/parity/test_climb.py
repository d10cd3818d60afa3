from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_ulp_is_the_next_float(dtype: type) -> None:
    """Every entry moves to a neighbour, some up and some down; seeds move them differently."""
    from lenet_multi.parity.climb import one_ulp_off

    weights: list[NDArray[Any]] = [
        np.array([-1.5, 0.0, 1e-3, 7.0] * 50, dtype),
        np.zeros(20, dtype),
    ]
    moved = one_ulp_off(weights, seed=0)
    for before, after in zip(weights, moved, strict=True):
        assert after.dtype == dtype
        up, down = (np.nextafter(before, dtype(end)) for end in (np.inf, -np.inf))
        assert np.all((after == up) | (after == down))
        assert np.any(after == up)
        assert np.any(after == down)
    assert np.any(one_ulp_off(weights, seed=1)[0] != moved[0])
