"""The largest of each 2x2 window: by comparisons, which XLA fuses, or by a pooling kernel."""

from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any  # the backend's own
Pool = Callable[[Tensor], Tensor]
"""(A, 2, 2, B), a window's columns on axis 1 and its rows on axis 2, to (A, B)."""

POOL = 2


def pooled_sides(images: Tensor, side: int) -> tuple[int, int]:
    """Return rows and columns of a block of `images` (N, H, W, C) with a kernel of this side."""
    height, width = images.shape[1:3]
    return (height - side + 1) // POOL, (width - side + 1) // POOL


def compared(windows: Tensor) -> Tensor:
    """Return each window's largest by comparing (a `Pool`); ties give the gradient to the first."""
    first, *rest = (windows[:, column, row] for row in range(POOL) for column in range(POOL))
    for other in rest:
        first = ops.where(first >= other, first, other)
    return first


def max_pooled(windows: Tensor) -> Tensor:
    """Return each window's largest by max pooling with channels-first axes; a `Pool`."""
    images = ops.transpose(windows, (0, 3, 1, 2))
    pooled = ops.max_pool(images, POOL, POOL, data_format="channels_first")
    # Not squeezed: its gradient would get another layout, and PyTorch would copy it.
    return ops.reshape(ops.transpose(pooled, (0, 2, 3, 1)), (windows.shape[0], -1))
