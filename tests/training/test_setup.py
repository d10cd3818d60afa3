from contextlib import nullcontext

import numpy as np
import pytest

from lenet_multi.config import STEP_FACTOR, STEPS_DOWN, TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.lenet.tasks import LENET

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

PARAMETERS = 431_080
# The hash of the LeNet's initial weights under seed 0, on every backend.
INITIAL_SHA256 = "d5088bf6eb2db37158e683ff1f71664347bb291862218941e08cb90cbf0a0b52"


def test_one_cycle_rises_and_falls() -> None:
    """The rate rises linearly for a quarter of the run and falls to 0 at its end."""
    import keras

    from lenet_multi.training.setup import make_optimizer

    config = TrainConfig(lr_schedule="one-cycle", learning_rate=0.4)
    schedule = make_optimizer(config, steps=100)._learning_rate
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 10, 25, 100)]
    np.testing.assert_allclose(rates, [0, 0.16, 0.4, 0], atol=1e-7)


def test_the_rate_steps_down() -> None:
    """The rate falls to a tenth after half the steps, and again after three quarters."""
    import keras

    from lenet_multi.training.setup import make_optimizer

    config = TrainConfig(lr_schedule="step")
    rate = make_optimizer(config, steps=20)._learning_rate
    rates = [float(keras.ops.convert_to_numpy(rate(step))) for step in range(20)]
    halfway, later = (round(share * 20) for share in STEPS_DOWN)
    expected = config.learning_rate * np.array(
        [1] * halfway + [STEP_FACTOR] * (later - halfway) + [STEP_FACTOR**2] * (20 - later)
    )
    np.testing.assert_allclose(rates, expected, rtol=1e-6)  # float32's precision


@pytest.mark.parametrize("kerass", [False, True], ids=["ours", "Keras's"])
def test_adam_gets_its_betas(kerass: bool) -> None:
    """Both betas of the configuration reach the optimizer, ours or Keras's own."""
    import keras

    from lenet_multi.backends.adam import Adam
    from lenet_multi.training.setup import make_optimizer

    adam = make_optimizer(TrainConfig(beta_1=0.8, beta_2=0.95), steps=1, kerass=kerass)
    assert isinstance(adam, keras.optimizers.Adam)
    assert isinstance(adam, Adam) != kerass
    assert (adam.beta_1, adam.beta_2) == (0.8, 0.95)


def test_a_schedule_spans_all_epochs(backend: str, small: Dataset) -> None:
    """The schedule counts a step for each epoch's smaller last batch too."""
    import keras

    from lenet_multi.backends.choice import execution
    from lenet_multi.training.setup import build, compile_model

    config = TrainConfig(epochs=3, batch_size=10)
    model = build(LENET, config, small)
    compile_model(model, LENET, config, execution(backend, "stock"), examples=95)
    rate = model.optimizer._learning_rate
    last, end = (float(keras.ops.convert_to_numpy(rate(step))) for step in (29, 30))
    assert last > 0
    assert end == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle", "step"])
def test_a_schedule_begins_again_after_finished_runs(
    schedule: str, backend: str, small: Dataset
) -> None:
    """After two finished epochs, three more have the rates of a run of three, to the bit."""
    import keras

    from lenet_multi.backends.choice import execution
    from lenet_multi.training.setup import build, compile_model

    def rates(epochs: int, begun: int) -> list[float]:
        config = TrainConfig(epochs=epochs, batch_size=10, lr_schedule=schedule)
        model = build(LENET, config, small)
        how = execution(backend, "stock")
        compile_model(model, LENET, config, how, examples=95, begun=begun)
        found = []
        for step in range(30):
            model.optimizer.iterations.assign(begun * 10 + step)
            found.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
        return found

    assert rates(5, 2) == rates(3, 0)


def test_a_users_own_schedule_begins_again() -> None:
    """A schedule in a user's optimizer begins again too, also inside a loss scale."""
    import keras

    from lenet_multi.training.setup import _begin_again

    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    plain = keras.optimizers.SGD(schedule)
    for optimizer in (plain, keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(schedule))):
        _begin_again(optimizer, after=4)
        optimizer.iterations.assign(6)
        assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(0.025)
    constant = keras.optimizers.SGD(0.1)
    _begin_again(constant, after=4)
    assert float(keras.ops.convert_to_numpy(constant.learning_rate)) == pytest.approx(0.1)


def test_the_hash_of_the_weights_is_the_same_everywhere(small: Dataset) -> None:
    """Seed 0 gives the same hash on every backend, and another seed gives another hash."""
    from lenet_multi.training.setup import build, weights_sha256

    digest = weights_sha256(build(LENET, TrainConfig(), small))
    assert digest == INITIAL_SHA256
    assert weights_sha256(build(LENET, TrainConfig(seed=1), small)) != digest


def test_the_hash_of_the_weights_sees_one_bit(small: Dataset) -> None:
    """A change in the last bit of one weight changes the hash."""
    from lenet_multi.training.setup import build, weights_sha256

    model = build(LENET, TrainConfig(), small)
    before = weights_sha256(model)
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] = np.nextafter(weights[0][0, 0, 0, 0], np.float32(1))
    model.set_weights(weights)
    assert weights_sha256(model) != before


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_precision_that_no_layer_has_is_refused(policy: str, backend: str) -> None:
    """A record would say that the model computed in it; one layer that does is enough."""
    import keras

    from lenet_multi.backends.choice import execution
    from lenet_multi.training.setup import compile_model

    config = TrainConfig(dtype_policy=policy)
    how = execution(backend, "stock")
    for others, refused in (("float32", True), (policy, False)):
        layers = [keras.layers.Dense(4, dtype=others), keras.layers.Dense(2, dtype="float32")]
        model = keras.Sequential([keras.Input((3,)), *layers])
        refusal = pytest.raises(UserError, match=f"{policy}: .* are made for float32; drop it")
        with refusal if refused else nullcontext():
            compile_model(model, LENET, config, how, examples=95)
