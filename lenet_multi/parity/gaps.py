"""Describe where two tensors differ, entry by entry."""

import numpy as np

from lenet_multi.parity.evidence import Array


def in_entries(first: Array, second: Array, allowed: float) -> str:
    """Return how many entries differ by more than `allowed`, a share of the largest, and where.

    >>> in_entries(np.array([[0.0, 1.0]]), np.array([[0.0, 2.0]]), 1e-6)
    '1 of 2 entries differ, largest at (0, 1)'
    """
    if first.shape != second.shape:
        return f"of shapes {first.shape} and {second.shape}"
    off = np.abs(first - second)
    wrong = ~(off <= allowed * np.abs(second).max())
    place = np.unravel_index(int(np.where(np.isfinite(off), off, np.inf).argmax()), off.shape)
    where = f"({', '.join(map(str, place))})"
    return f"{int(wrong.sum()):,} of {off.size:,} entries differ, largest at {where}"
