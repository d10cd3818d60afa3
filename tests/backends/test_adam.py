from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

# float32 rounding over a few steps; measured 3e-7 of the distance moved
ROUNDING = 1e-5

EPSILON = 1e-7


def by_numpy(
    start: NDArray[Any], gradients: list[NDArray[Any]], rate: float, beta_1: float, beta_2: float
) -> NDArray[Any]:
    """Return the weight after Keras's formula for Adam, computed in float64."""
    weight, mean, square = start.astype(float), np.zeros(start.shape), np.zeros(start.shape)
    for step, gradient in enumerate(gradients, 1):
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient.astype(float) ** 2
        alpha = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        weight -= alpha * mean / (np.sqrt(square) + EPSILON)
    return weight


@settings(deadline=None, max_examples=20)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    rate=st.floats(1e-4, 1e-1),
    beta_1=st.floats(0.0, 0.95, allow_subnormal=False),
    beta_2=st.floats(0.5, 0.999),
)
def test_the_steps_are_those_of_keras_formula(
    shape: tuple[int, ...], rate: float, beta_1: float, beta_2: float
) -> None:
    """Our Adam moves weights as Keras's formula does, also for gradients stored transposed."""
    import keras

    from lenet_multi.backends.adam import Adam

    draw = np.random.default_rng(0)
    start = draw.normal(size=shape).astype("float32")
    gradients = [draw.normal(size=shape).astype("float32") for _ in range(3)]
    variable = keras.Variable(start)
    optimizer = Adam(rate, beta_1=beta_1, beta_2=beta_2)
    if keras.backend.backend() != "jax":  # it updates only inside `fit`
        for gradient in gradients:
            backwards = keras.ops.convert_to_tensor(np.ascontiguousarray(gradient.T))
            optimizer.apply([keras.ops.transpose(backwards)], [variable])
        found = keras.ops.convert_to_numpy(variable)
    else:
        optimizer.build([variable])
        state = [v.value for v in optimizer.variables]
        value = [variable.value]
        for gradient in gradients:
            value, state = optimizer.stateless_apply(state, [gradient], value)
        found = np.asarray(value[0])
    wanted = by_numpy(start, gradients, rate, beta_1, beta_2)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("way", ["kernel", "formula"])
def test_epsilon_is_added_to_the_root(way: str) -> None:
    """Gradients as small as epsilon show that it is added to the root, not under it."""
    import keras

    from lenet_multi import backends
    from lenet_multi.backends.adam import Adam

    start, gradient = np.ones(4, np.float32), np.full(4, 1e-6, np.float32)
    variable, optimizer = keras.Variable(start), Adam(0.1)
    optimizer.build([variable])
    update = (keras.ops.convert_to_tensor(gradient), variable, *optimizer.variables[-2:])
    rate = keras.ops.convert_to_tensor(np.float32(0.1))
    if way == "formula":
        optimizer.by_formula([update], rate)
    else:
        module = backends.module(keras.backend.backend())
        module.update_by_adam(optimizer, [update], rate)
    found = keras.ops.convert_to_numpy(variable) - start
    wanted = by_numpy(start, [gradient], 0.1, 0.9, 0.999) - start
    assert 0.01 < abs(wanted[0]) < 0.05  # without epsilon it would be 0.1
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_adam_is_keras_to_its_users() -> None:
    """Our Adam has the config and state of Keras's Adam, so each can continue the other's run."""
    import keras

    from lenet_multi.backends.adam import Adam

    ours, keras_own = Adam(0.01, name="adam"), keras.optimizers.Adam(0.01, name="adam")
    assert ours.get_config() == keras_own.get_config()
    for optimizer in (ours, keras_own):
        optimizer.build([keras.Variable(np.zeros((2, 3)), name="kernel")])
    assert [v.path for v in ours.variables] == [v.path for v in keras_own.variables]
