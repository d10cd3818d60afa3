"""Each device draws for the whole batch and keeps its rows."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.backend

Draw = Callable[[Any, Any], Any]

ROWS, COUNT = 7, 3


def dropped(x: Any, generator: Any) -> Any:
    """Return `x` through dropout."""
    from keras import random

    return random.dropout(x, 0.5, seed=generator)


def dropped_alike(x: Any, generator: Any) -> Any:
    """Return `x` through a dropout whose mask is the same for all columns."""
    from keras import random

    return random.dropout(x, 0.5, noise_shape=(None, 1), seed=generator)


def dropped_columns(x: Any, generator: Any) -> Any:
    """Return `x` through a dropout whose mask is the same for all rows."""
    from keras import random

    return random.dropout(x, 0.5, noise_shape=(1, x.shape[1]), seed=generator)


def beside(x: Any, generator: Any) -> Any:
    """Return `x` and the same dropped numbers for each row, as of an embedding of positions."""
    from keras import ops, random

    return x + random.dropout(ops.ones((1, 4)), 0.5, seed=generator)


def noisy(x: Any, generator: Any) -> Any:
    """Return `x` with normal noise."""
    from keras import ops, random

    return x + random.normal(ops.shape(x), seed=generator)


def scaled(x: Any, generator: Any) -> Any:
    """Return `x` with each row scaled by a random number."""
    from keras import ops, random

    return x * random.uniform((ops.shape(x)[0], 1), seed=generator)


@pytest.mark.parametrize(
    "draw",
    [dropped, dropped_alike, dropped_columns, beside, noisy, scaled],
    ids=lambda draw: draw.__name__,
)
def test_parts_draw_what_one_device_draws(backend: str, draw: Draw) -> None:
    """The parts of a batch, one after the other, are what one device draws for the whole."""
    import keras

    from lenet_multi.backends.devices import draws

    x = np.arange(1, ROWS * 4 + 1, dtype="float32").reshape(ROWS, 4)

    def drawn(part: Any = None) -> Any:
        generator = keras.random.SeedGenerator(5)
        if part is None:
            return keras.ops.convert_to_numpy(draw(keras.ops.convert_to_tensor(x), generator))
        rows = keras.ops.convert_to_tensor(x[part.first : part.first + part.size])
        with draws.taking(part):
            return keras.ops.convert_to_numpy(draw(rows, generator))

    whole = drawn()
    bounds = np.cumsum([0, *map(len, np.array_split(np.arange(ROWS), COUNT))]).tolist()
    pairs = itertools.pairwise(bounds)
    with draws.shared():
        parts = [
            drawn(draws.Part(begin, end - begin, ROWS, COUNT, end - begin)) for begin, end in pairs
        ]
        np.testing.assert_array_equal(drawn(), whole)  # outside a step nothing changes
    np.testing.assert_array_equal(np.concatenate(parts), whole)
