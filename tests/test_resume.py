import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lenet_multi import checkpoint
from lenet_multi.checkpoint import State
from lenet_multi.config import TrainConfig
from lenet_multi.data import Dataset
from lenet_multi.errors import DivergedError, StoppedError, UserError
from lenet_multi.train import TrainedRun, train
from tests.conftest import train_quietly

pytestmark = pytest.mark.backend

# 48 steps an epoch, five executions on TensorFlow
SMALL_BATCHES = TrainConfig(epochs=2, batch_size=20)
STEPS = 48

Go = Callable[..., TrainedRun]


@pytest.fixture
def go(backend: str, small: Dataset, tmp_path: Path) -> Go:
    """Train, or go on, in a folder of the test; by default as `kept` was trained."""

    def run(
        config: TrainConfig, state: State | None = None, dataset: Dataset = small
    ) -> TrainedRun:
        return train(
            config,
            lambda: dataset,
            backend=backend,
            folder=tmp_path,
            state=state,
            announce=lambda line: None,
            quiet=True,
        )

    return run


@pytest.fixture(scope="module")
def undisturbed(backend: str, small: Dataset) -> TrainedRun:
    """The run that a disturbed one is to be equal to."""
    return train_quietly(SMALL_BATCHES, small, backend)


def figures(run: TrainedRun) -> list[dict[str, float]]:
    """Return the epochs without the seconds they took."""
    timed = {"train_seconds", "validation_seconds"}
    return [{k: v for k, v in epoch.items() if k not in timed} for epoch in run.result.epochs]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("number", "batches"),
    [(signal.SIGTERM, 13), (signal.SIGINT, STEPS), (signal.SIGTERM, STEPS + 13)],
    ids=["within the first epoch", "between epochs", "within the last"],
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    undisturbed: TrainedRun,
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    batches: int,
) -> None:
    """Stopped by a signal after so many batches, it ends as if it had never been stopped."""
    from lenet_multi.resume import Resumable

    note = Resumable.on_train_batch_end

    def strike(self: Resumable, batch: int, logs: dict[str, float] | None = None) -> None:
        note(self, batch, logs)
        if self.epoch * STEPS + min(batch + 1, STEPS) >= batches:
            os.kill(os.getpid(), number)
            monkeypatch.undo()

    monkeypatch.setattr(Resumable, "on_train_batch_end", strike)
    with pytest.raises(StoppedError, match=number.name):
        go(SMALL_BATCHES)
    state = checkpoint.read(tmp_path / "resume", pytest.fail)
    assert 0 < state.epoch * STEPS + state.steps < 2 * STEPS
    again = go(SMALL_BATCHES, state)
    assert again.result.final_weights_sha256 == undisturbed.result.final_weights_sha256
    assert figures(again) == figures(undisturbed)
    np.testing.assert_array_equal(again.evaluation.logits, undisturbed.evaluation.logits)


def test_a_run_that_diverges_stops_at_once(go: Go, tmp_path: Path) -> None:
    """The step whose loss is no number is named; the last checkpoint's weights are numbers."""
    config = TrainConfig(epochs=2, learning_rate=1e30, lr_schedule="constant", save_every="1")
    with pytest.raises(DivergedError, match=r"no finite number at step \d+ of epoch 1|not finite"):
        go(config)
    if (tmp_path / "resume").exists():
        state = checkpoint.read(tmp_path / "resume", pytest.fail)
        assert all(np.isfinite(array).all() for array in state.variables)


def test_other_data_are_refused(go: Go, small: Dataset, tmp_path: Path) -> None:
    """A run goes on with the data that it began with, or not at all."""
    config = TrainConfig(epochs=2, save_every="1")
    go(config)
    state = checkpoint.read(tmp_path / "resume", pytest.fail)
    other = Dataset(small.test, small.train)
    with pytest.raises(UserError, match="is not the data that the run was trained on"):
        go(config, state, other)


def test_another_model_is_refused(go: Go, tmp_path: Path) -> None:
    """A checkpoint of other tensors is not taken for the run's."""
    config = TrainConfig(epochs=2, save_every="1")
    go(config)
    state = checkpoint.read(tmp_path / "resume", pytest.fail)
    strange = dataclasses.replace(state, names=["strange", *state.names[1:]])
    with pytest.raises(UserError, match="of another model"):
        go(config, strange)


@pytest.mark.usefixtures("backend")
def test_early_stopping_is_remembered() -> None:
    """Patience, the best loss and its weights survive."""
    import keras

    from lenet_multi.resume import _best_weights, _remembered

    stopping = keras.callbacks.EarlyStopping(patience=3)
    stopping.on_train_begin()
    stopping.wait, stopping.best, stopping.best_weights = 2, np.float32(0.5), [np.ones(2)]
    assert _remembered([stopping])["EarlyStopping"]["wait"] == 2
    assert _remembered([stopping])["EarlyStopping"]["best"] == 0.5
    assert _best_weights([stopping])[0].tolist() == [1, 1]
