"""JAX cuts what has equal parts, and leaves the rest whole on each device."""

import subprocess
import sys

import pytest

from tests.conftest import child_environment

# Prints the shapes of the parts of a batch that divides, and of one that does not.
CUTTING = """
import numpy as np
from lenet_multi.machine import keras_start
keras_start.start("jax", devices=3)
from lenet_multi.backends.devices import jax, shared
with shared("jax", 3):
    for rows, axis in ((6, 0), (7, 0), (6, 1)):
        array = np.arange(rows * 6).reshape(rows, 6)
        placed = jax.placed((array, None), axis)[0]
        parts = [part.data for part in placed.addressable_shards]
        assert len(parts) == 3
        assert np.array_equal(placed, array)
        print(parts[0].shape, np.array_equal(parts[1], parts[0]))
"""


@pytest.mark.backend
def test_what_has_equal_parts_is_cut(backend: str) -> None:
    """Each of three devices gets a third of six rows, and of seven rows all."""
    if backend != "jax":
        return
    done = subprocess.run(
        [sys.executable, "-c", CUTTING],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["(2, 6) False", "(7, 6) True", "(6, 2) False"], done.stderr
