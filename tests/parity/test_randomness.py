import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.backend


def mixed(x: np.ndarray) -> np.ndarray:
    """Return lowbias32 of each uint32."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return np.asarray(x ^ (x >> np.uint32(16)))


def shares(count: int, seed: int, draw: int) -> np.ndarray:
    """Return by NumPy the uniform numbers of a generator's draw number `draw`: (count,)."""
    with np.errstate(over="ignore"):
        seeds, draws = (np.array([value], np.uint32) for value in (seed, draw))
        key = mixed(seeds + mixed(draws + np.uint32(0x9E3779B9)))
        return (mixed(mixed(np.arange(count, dtype=np.uint32) + key) ^ key) >> np.uint32(8)) / 2**24


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**30), st.integers(0, 3))
def test_the_numbers_are_those_of_numpy(backend: str, seed: int, draw: int) -> None:
    """Every backend draws the bits that NumPy's unsigned arithmetic gives."""
    import keras

    from lenet_multi.parity.randomness import hashed

    generator = keras.random.SeedGenerator(seed)
    with hashed() as lacking:
        for _ in range(draw):
            keras.random.uniform((3,), seed=generator)
        found = keras.ops.convert_to_numpy(keras.random.uniform((4, 5), seed=generator))
    assert lacking == []
    np.testing.assert_array_equal(found.ravel(), shares(20, seed, draw).astype(np.float32))


def test_dropout_keeps_its_share_and_scales_it(backend: str) -> None:
    """A mask keeps 1 - rate of the entries and divides them by it; each step has another mask."""
    import keras

    from lenet_multi.parity.randomness import hashed, set_seeds

    layer = keras.layers.Dropout(0.25)
    model = keras.Sequential([keras.Input((400,)), layer])
    with hashed():
        set_seeds(model, 3)
        first, second = (
            keras.ops.convert_to_numpy(model(np.ones((100, 400), np.float32), training=True))
            for _ in range(2)
        )
        set_seeds(model, 3)
        again = keras.ops.convert_to_numpy(model(np.ones((100, 400), np.float32), training=True))
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert np.mean(first > 0) == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / first.size))
    assert np.mean((first > 0) == (second > 0)) == pytest.approx(0.625, abs=0.02)
    np.testing.assert_array_equal(first, again)


def test_dropout_can_be_off(backend: str) -> None:
    """On request Dropout passes its inputs on, in training too."""
    import keras

    from lenet_multi.parity.randomness import hashed

    x = np.ones((4, 5), np.float32)
    with hashed(off=True):
        found = keras.ops.convert_to_numpy(keras.layers.Dropout(0.9)(x, training=True))
    np.testing.assert_array_equal(found, x)


def test_normal_numbers_have_mean_and_deviation(backend: str) -> None:
    """The sum of twelve uniform numbers has the mean and the deviation that were asked for."""
    import keras

    from lenet_multi.parity.randomness import hashed

    with hashed():
        seed = keras.random.SeedGenerator(1)
        found = keras.ops.convert_to_numpy(keras.random.normal((20_000,), 2.0, 3.0, seed=seed))
    assert found.mean() == pytest.approx(2.0, abs=4 * 3 / np.sqrt(20_000))
    assert found.std() == pytest.approx(3.0, rel=0.03)


def test_keras_draws_its_own_numbers_afterwards(backend: str) -> None:
    """Outside the block Keras's functions are its own again."""
    import keras

    from lenet_multi.parity.randomness import hashed

    own = keras.ops.convert_to_numpy(keras.random.uniform((4,), seed=1))
    with hashed():
        pass
    again = keras.ops.convert_to_numpy(keras.random.uniform((4,), seed=1))
    np.testing.assert_array_equal(own, again)
