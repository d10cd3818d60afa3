from pathlib import Path

import numpy as np
import pytest

from tests.backends.models import fast

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def test_a_later_schedule_begins_after_other_steps() -> None:
    """The rate at step n + before is that of the schedule at step n, to the bit."""
    import keras

    from lenet_multi.backends.later import Later

    inner = keras.optimizers.schedules.CosineDecay(0.1, 20)
    later = Later(inner, 7)
    value = keras.ops.convert_to_numpy
    for step in range(21):
        assert value(later(step + 7)) == value(inner(step))
    assert value(later(3)) == value(inner(0))  # steps that a loss scale skipped are not counted
    again = Later.from_config(later.get_config())
    assert value(again(12)) == value(inner(5))


@pytest.mark.parametrize("scaled", [False, True], ids=["adam", "loss-scaled adam"])
def test_a_file_holds_the_schedule_itself(scaled: bool, tmp_path: Path) -> None:
    """The file of a run that went on names no class of this package, so plain Keras opens it."""
    import keras

    from lenet_multi.backends.adam import Adam
    from lenet_multi.backends.later import Later

    optimizer = Adam(Later(keras.optimizers.schedules.CosineDecay(0.1, 20), 7))
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse")
    fast(model)
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    inner = getattr(loaded, "inner_optimizer", loaded)
    assert type(inner).__module__.startswith("keras.")
    assert type(inner._learning_rate) is keras.optimizers.schedules.CosineDecay
    assert int(keras.ops.convert_to_numpy(loaded.iterations)) == 1
