import pytest

from lenet_multi.bench.ways import JIT_OFF, JIT_ON, OTHER_JIT, OURS, STOCK, Job
from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import UserError
from tests.bench.material import write_model

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """The settings of the small model and its data."""
    # One file for all tests of this process: Python knows a module by its name.
    path = write_model(tmp_path_factory.mktemp("model"), "timed_model.py")
    given = {"architecture": f"{path}:build", "data": f"{path}:data", "batch_size": 16}
    return with_settings(TrainConfig(epochs=1), given)


@pytest.mark.parametrize("way", [STOCK, OURS])
def test_a_trial_times_its_steps(backend: str, config: TrainConfig, way: str) -> None:
    """It gives the seconds of each part, and the milliseconds of a step and of `predict`."""
    from lenet_multi.bench.measures import Trial

    trial = Trial(Job(backend, way, config))
    assert {*trial.seconds} == {"data", "build"}
    first = trial.first()
    assert first["seconds"]["first step"] > 0
    assert min(first["steps"].values()) > 1
    found = trial.round()
    assert 0 < found["step_ms"] < 1000
    assert 0 < found["predict_ms"] < 1000
    assert found["peak_mib"] > 100


def test_stock_has_nothing_of_ours(backend: str, config: TrainConfig) -> None:
    """The model of stock is Keras's, with Keras's optimizer; that of ours is fast."""
    import keras

    from lenet_multi.bench.measures import Trial

    stock = Trial(Job(backend, STOCK, config)).model
    assert type(stock) is keras.Sequential
    assert type(stock.optimizer).__module__.startswith("keras.")
    assert hasattr(Trial(Job(backend, OURS, config)).model, "fast")


def test_ours_is_what_the_training_would_do(
    backend: str, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the fast way fails its check, stock Keras is timed as ours, with the reason."""
    from lenet_multi import backends
    from lenet_multi.backends import selfcheck
    from lenet_multi.bench.measures import Trial

    fast = backends.module(backend).Training
    trial = Trial(Job(backend, OURS, config))
    assert (trial.why_stock, isinstance(trial.model, fast)) == (None, True)
    monkeypatch.setattr(selfcheck, "why_not", lambda *given: "its steps differ")
    trial = Trial(Job(backend, OURS, config))
    assert (trial.why_stock, isinstance(trial.model, fast)) == ("its steps differ", False)


def test_the_lenet_of_stock_has_keras_adam(backend: str) -> None:
    """Ours has our Adam; stock must not."""
    from lenet_multi.backends.adam import Adam
    from lenet_multi.bench.measures import Trial

    config = TrainConfig(epochs=1)
    assert not isinstance(Trial(Job(backend, STOCK, config)).model.optimizer, Adam)
    assert isinstance(Trial(Job(backend, OURS, config)).model.optimizer, Adam)


def test_the_other_jit_is_the_one_that_keras_does_not_choose(
    backend: str, config: TrainConfig
) -> None:
    """The way is named by what it does."""
    from lenet_multi.bench.measures import Trial

    stock, other = (Trial(Job(backend, way, config)) for way in (STOCK, OTHER_JIT))
    assert other.model.jit_compile != stock.model.jit_compile
    assert other.way == (JIT_ON if other.model.jit_compile else JIT_OFF)


def test_a_layer_that_does_not_support_jit_is_a_failure(backend: str, config: TrainConfig) -> None:
    """Keras only warns and goes on without; the way would have the wrong name."""
    import dataclasses

    from lenet_multi.bench.measures import Trial

    name = config.architecture.replace(":build", ":without_jit")
    with pytest.raises(UserError, match="a layer says that it does not support it; use"):
        Trial(Job(backend, OTHER_JIT, dataclasses.replace(config, architecture=name)))


@pytest.mark.parametrize(
    ("start", "step"),
    [(0.0, 0.001), (0.2, 0.0001), (0.01, 0.2), (0.0, 2.0)],
    ids=["plain", "long-start", "slow", "very-slow"],
)
def test_a_step_does_not_contain_what_each_call_costs_once(
    backend: str, start: float, step: float
) -> None:
    """The pace finds the time of a step whatever the start costs, and trains for a short time."""
    from lenet_multi.bench.measures import Pace

    asked = []

    def seconds_of(steps: int) -> float:
        asked.append(steps)
        return start + steps * step

    pace = Pace(seconds_of, whole=1, most=10**6)
    assert pace.milliseconds() == pytest.approx(1000 * step, rel=0.03)
    assert sum(asked) * step < 15


def test_a_busy_moment_does_not_make_a_step_negative(backend: str) -> None:
    """A step has a time even if the start of a round took longer than a round, each time."""
    from lenet_multi.bench.measures import Pace

    busy = iter([0.3] * 3 + [9.0] * 2)
    pace = Pace(lambda steps: next(busy) if steps == 1 else steps * 0.01, whole=1, most=10**6)
    pace._begun = 9.0
    assert pace.milliseconds() > 0


def test_a_round_has_whole_executions_and_fits_into_memory(backend: str) -> None:
    """Steps that come 25 at a time are not cut, and no round has more than `most`."""
    from lenet_multi.bench.measures import Pace

    assert Pace(lambda steps: steps * 0.001, whole=25, most=10**6).steps % 25 == 0
    assert Pace(lambda steps: steps * 1e-6, whole=1, most=100).steps == 100


def test_every_stage_and_layer_has_a_time(backend: str, config: TrainConfig) -> None:
    """The layers are those of the model, and each stage takes some time."""
    from lenet_multi.bench.measures import Trial

    trial = Trial(Job(backend, STOCK, config))
    trial.first()
    found = trial.stages()
    assert [layer["kind"] for layer in found["layers"]] == ["Dense", "Dense"]
    assert min(layer["ms"] for layer in found["layers"]) > 0
    assert min(found[stage] for stage in ("step", "forward", "forward_and_backward")) > 0
