import numpy as np
import pytest

from lenet_multi.config import STEP_FACTOR, STEPS_DOWN, TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.tasks import LENET

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

PARAMETERS = 431_080
# Of the LeNet's initial weights under seed 0, on every backend.
INITIAL_SHA256 = "d5088bf6eb2db37158e683ff1f71664347bb291862218941e08cb90cbf0a0b52"


def test_one_cycle_rises_and_falls() -> None:
    """The rate rises in a straight line for a quarter of the run and falls to 0 at its end."""
    import keras

    from lenet_multi.training.setup import make_optimizer

    config = TrainConfig(lr_schedule="one-cycle", learning_rate=0.4)
    schedule = make_optimizer(config, steps=100)._learning_rate
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 10, 25, 100)]
    np.testing.assert_allclose(rates, [0, 0.16, 0.4, 0], atol=1e-7)


def test_the_rate_steps_down() -> None:
    """It falls to a tenth after half the steps, and again after three quarters."""
    import keras

    from lenet_multi.training.setup import make_optimizer

    config = TrainConfig(lr_schedule="step")
    rate = make_optimizer(config, steps=20)._learning_rate
    rates = [float(keras.ops.convert_to_numpy(rate(step))) for step in range(20)]
    halfway, later = (round(share * 20) for share in STEPS_DOWN)
    expected = config.learning_rate * np.array(
        [1] * halfway + [STEP_FACTOR] * (later - halfway) + [STEP_FACTOR**2] * (20 - later)
    )
    np.testing.assert_allclose(rates, expected, rtol=1e-6)  # float32's digits


@pytest.mark.parametrize("kerass", [False, True], ids=["ours", "Keras's"])
def test_adam_gets_its_betas(kerass: bool) -> None:
    """Both decays of the configuration reach the optimizer, ours or Keras's own."""
    import keras

    from lenet_multi.backends.adam import Adam
    from lenet_multi.training.setup import make_optimizer

    adam = make_optimizer(TrainConfig(beta_1=0.8, beta_2=0.95), steps=1, kerass=kerass)
    assert isinstance(adam, keras.optimizers.Adam)
    assert isinstance(adam, Adam) != kerass
    assert (adam.beta_1, adam.beta_2) == (0.8, 0.95)


def test_a_schedule_spans_all_epochs(backend: str, small: Dataset) -> None:
    """Each epoch has a step for the last, smaller batch too."""
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


def test_the_hash_of_the_weights_is_the_same_everywhere(small: Dataset) -> None:
    """Seed 0 gives the same hash on every backend; other seeds give other hashes."""
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
