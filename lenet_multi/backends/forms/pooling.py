"""The largest of each 2x2 window: by comparing, which XLA fuses, or by a kernel of its own."""

from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any  # the backend's own
Pool = Callable[[Tensor], Tensor]
"""(A, 2, 2, B), a window's columns on axis 1 and its rows on axis 2, to (A, B)."""

POOL = 2


def pooled_sides(images: Tensor, side: int) -> tuple[int, int]:
    """Return rows and columns of the block of images (N, H, W, C) and a kernel of that side."""
    height, width = images.shape[1:3]
    return (height - side + 1) // POOL, (width - side + 1) // POOL


def compared(windows: Tensor) -> Tensor:
    """Return the largest of each window by comparing, of equal ones the first; a `Pool`.

    That one gets the gradient.
    """
    first, *rest = (windows[:, column, row] for row in range(POOL) for column in range(POOL))
    for other in rest:
        first = ops.where(first >= other, first, other)
    return first


def max_pooled(windows: Tensor) -> Tensor:
    """Return the largest of each window by max pooling, channels first in name; a `Pool`."""
    images = ops.transpose(windows, (0, 3, 1, 2))
    pooled = ops.max_pool(images, POOL, POOL, data_format="channels_first")
    # Not squeezed, for then its gradient would lie in another order and be copied on PyTorch.
    return ops.reshape(ops.transpose(pooled, (0, 2, 3, 1)), (windows.shape[0], -1))
