import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import DivergedError, StoppedError, UserError
from lenet_multi.runs import checkpoint
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.folder import unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import read_run
from lenet_multi.train import TrainedRun
from tests.conftest import Lenet, child_environment, train_quietly

pytestmark = pytest.mark.backend

# 95 steps per epoch, four executions on TensorFlow and JAX
SMALL_BATCHES = TrainConfig(epochs=2, batch_size=10)
STEPS = 95


@pytest.fixture(scope="module")
def undisturbed(backend: str, small: Dataset) -> TrainedRun:
    """The run that a disturbed one must equal."""
    return train_quietly(SMALL_BATCHES, small, backend)


def stop(
    number: signal.Signals,
    batches: int,
    small: Dataset,
    backend: str,
    folder: Path,
    config: TrainConfig = SMALL_BATCHES,
) -> State:
    """Train until a signal after `batches` batches; return the kept state."""
    from lenet_multi.training.resume import Resumable

    pause, end = Resumable._pause, Resumable.on_epoch_end

    def strike(self: Resumable, done: int) -> None:
        if done >= batches and self.signal_number is None:
            os.kill(os.getpid(), number)

    def strike_and_pause(self: Resumable, epoch: int, steps: int) -> None:
        strike(self, epoch * STEPS + steps)
        pause(self, epoch, steps)

    def strike_and_end(self: Resumable, epoch: int, logs: dict[str, float] | None = None) -> None:
        strike(self, (epoch + 1) * STEPS)
        end(self, epoch, logs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError, match=number.name):
        patch.setattr(Resumable, "_pause", strike_and_pause)
        patch.setattr(Resumable, "on_epoch_end", strike_and_end)
        train_quietly(config, small, backend, folder)
    state = checkpoint.read(folder / "resume", pytest.fail)
    assert state
    return state


@pytest.fixture(scope="module")
def stopped(backend: str, small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A training stopped within its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    return stop(signal.SIGTERM, STEPS + 13, small, backend, folder)


def figures(run: TrainedRun) -> list[dict[str, float]]:
    """Return the epochs without their seconds."""
    return [{k: v for k, v in epoch.items() if "seconds" not in k} for epoch in run.result.epochs]


def assert_same(run: TrainedRun, other: TrainedRun) -> None:
    """Assert that two runs are equal to the bit: weights, epochs and outputs."""
    assert run.result.final_weights_sha256 == other.result.final_weights_sha256
    assert figures(run) == figures(other)
    np.testing.assert_array_equal(run.evaluation.outputs, other.evaluation.outputs)


def test_a_run_stopped_within_an_epoch_goes_on_to_the_same_bits(
    undisturbed: TrainedRun, stopped: State, small: Dataset, backend: str, tmp_path: Path
) -> None:
    """A run stopped within an epoch ends as if never stopped, with its means and history."""
    assert stopped.epoch == 1
    assert 0 < stopped.steps < STEPS
    again = train_quietly(SMALL_BATCHES, small, backend, tmp_path, stopped)
    assert_same(again, undisturbed)


def test_a_run_stopped_between_epochs_goes_on_to_the_same_bits(
    undisturbed: TrainedRun, small: Dataset, backend: str, tmp_path: Path
) -> None:
    """A run stopped between epochs ends as if never stopped."""
    state = stop(signal.SIGINT, STEPS, small, backend, tmp_path)
    assert (state.epoch, state.steps) == (1, 0)
    again = train_quietly(SMALL_BATCHES, small, backend, tmp_path, state)
    assert_same(again, undisturbed)


def test_distortions_normalisation_and_dropout_go_on_to_the_same_bits(
    small: Dataset, backend: str, tmp_path: Path
) -> None:
    """A run with all three, stopped within an epoch, ends alike too."""
    config = dataclasses.replace(
        SMALL_BATCHES, batch_norm=True, dropout=0.4, rotation=10.0, translation=2.0, elastic=0.8
    )
    state = stop(signal.SIGTERM, STEPS + 13, small, backend, tmp_path, config)
    assert state.steps > 0
    again = train_quietly(config, small, backend, tmp_path, state)
    assert_same(again, train_quietly(config, small, backend))


def assert_trained(
    state: State, whole: TrainedRun, config: TrainConfig, data: Dataset, backend: str, folder: Path
) -> None:
    """Assert that `state` is the end of the `whole` run, and resumes without another step."""
    from lenet_multi.training.resume import Resumable

    assert (state.epoch, state.steps) == (config.epochs, 0)
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Resumable, "on_epoch_begin", lambda *told: pytest.fail("trains again"))
        again = train_quietly(config, data, backend, folder, state)
    assert_same(again, whole)


def test_a_trained_model_is_kept_until_its_run_is_whole(
    undisturbed: TrainedRun, small: Dataset, backend: str, tmp_path: Path
) -> None:
    """If a run stops while it is evaluated or saved, resuming trains nothing again."""
    train_quietly(SMALL_BATCHES, small, backend, tmp_path)
    state = checkpoint.read(tmp_path / "resume", pytest.fail)
    assert state
    assert_trained(state, undisturbed, SMALL_BATCHES, small, backend, tmp_path / "again")


def test_a_signal_after_the_last_step_is_obeyed(
    small: Dataset, backend: str, tmp_path: Path
) -> None:
    """A signal during the last epoch's validation ends the run with every epoch kept."""
    state = stop(signal.SIGTERM, 2 * STEPS, small, backend, tmp_path)
    assert (state.epoch, state.steps) == (2, 0)
    assert len(state.epochs) == 2


@pytest.mark.any_backend
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_while_the_run_is_saved_loses_nothing(
    number: signal.Signals, undisturbed: TrainedRun, small_npz: Path, lenet: Lenet, tmp_path: Path
) -> None:
    """The command says how to resume, and resuming only evaluates and saves."""
    code = (
        "import os\n"
        "from lenet_multi.runs import record\n"
        f"record.write_run = lambda *given, **named: os.kill(os.getpid(), {number})\n"
        "from lenet_multi.__main__ import main\n"
        "main('train')\n"
    )
    settings = [
        *("--epochs", "2", "--batch-size", str(SMALL_BATCHES.batch_size)),
        *("--data", str(small_npz), "--out", "a-run"),
    ]
    struck = subprocess.run(
        [sys.executable, "-c", code, *settings], cwd=tmp_path, capture_output=True, text=True
    )
    assert struck.returncode == 128 + number
    assert struck.stderr.splitlines()[-2:] == [
        "Continue with: lenet-multi train --resume a-run",
        f"lenet-multi: stopped by {number.name}",
    ]
    done = lenet("train", "--resume", "a-run")
    assert done.returncode == 0, done.stderr
    assert "Continuing after the last epoch" in done.stdout
    result = read_run(tmp_path / "a-run").result
    assert len(result.starts) == 2
    assert result.final_weights_sha256 == undisturbed.result.final_weights_sha256


@pytest.mark.any_backend
def test_the_command_goes_on(
    undisturbed: TrainedRun, small: Dataset, small_npz: Path, backend: str, tmp_path: Path
) -> None:
    """`--resume` reads settings, data and backend from the folder, and the run ends the same."""
    draft = unfinished(tmp_path / "a-run")
    draft.mkdir()
    state = stop(signal.SIGTERM, STEPS + 13, small, backend, draft)
    journal = Journal(draft, dataclasses.replace(SMALL_BATCHES, data=str(small_npz)))
    with journal.started(backend=backend, at=(0, 0)):
        pass
    done = subprocess.run(
        [sys.executable, "-m", "lenet_multi", "train", "--resume", "a-run"],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"Continuing at step {state.steps} of epoch {state.epoch + 1}" in done.stdout
    result = read_run(tmp_path / "a-run").result
    assert [start["backend"] for start in result.starts] == [backend] * 2
    assert result.epochs[0] == state.epochs[0]  # with its seconds, so it was not trained again
    assert result.final_weights_sha256 == undisturbed.result.final_weights_sha256


@pytest.mark.any_backend
def test_patience_goes_on_where_it_was(small: Dataset, backend: str, tmp_path: Path) -> None:
    """A resumed run with early stopping ends at the same epoch, with the best epoch's model."""
    labels = np.random.default_rng(0).permutation(small.train.y)  # nothing to learn
    astray = Dataset(Examples(small.train.x, labels), small.test)
    config = dataclasses.replace(SMALL_BATCHES, epochs=20, early_stopping=3, save_every=f"{STEPS}")
    whole = train_quietly(config, astray, backend, tmp_path)
    newest, waiting = sorted((tmp_path / "resume").iterdir(), reverse=True)
    state = checkpoint.read(newest.parent, pytest.fail)
    assert state
    assert_trained(state, whole, config, astray, backend, tmp_path / "trained")
    newest.unlink()
    state = checkpoint.read(waiting.parent, pytest.fail)
    assert state
    assert state.callbacks["EarlyStopping"]["wait"] == 2
    again = train_quietly(config, astray, backend, tmp_path, state)
    assert len(whole.result.epochs) < 20
    assert_same(again, whole)


def test_a_run_that_diverges_stops_at_once(small: Dataset, backend: str, tmp_path: Path) -> None:
    """The first step with a NaN or infinite loss is named, and the last checkpoint is finite."""
    config = TrainConfig(epochs=2, learning_rate=1e30, lr_schedule="constant", save_every="1")
    with pytest.raises(DivergedError, match=r"is not finite (at step \d+ of epoch 1|after)"):
        train_quietly(config, small, backend, tmp_path)
    if state := checkpoint.read(tmp_path / "resume", pytest.fail):
        assert all(np.isfinite(array).all() for array in state.variables)


def test_other_data_are_refused(
    stopped: State, small: Dataset, backend: str, tmp_path: Path
) -> None:
    """A run resumes only with the data that it began with."""
    other = Dataset(small.test, small.train)
    with pytest.raises(UserError, match="is not the data that the run was trained on"):
        train_quietly(SMALL_BATCHES, other, backend, tmp_path, stopped)


def test_another_model_is_refused(
    stopped: State, small: Dataset, backend: str, tmp_path: Path
) -> None:
    """A checkpoint with other tensors is refused."""
    strange = dataclasses.replace(stopped, names=["strange", *stopped.names[1:]])
    with pytest.raises(UserError, match="of another model"):
        train_quietly(SMALL_BATCHES, small, backend, tmp_path, strange)


@pytest.mark.usefixtures("backend")
def test_a_second_signal_ends_at_once() -> None:
    """A second signal ends the run at once, without a checkpoint."""
    from lenet_multi.training.resume import Resumable

    resumable = SimpleNamespace(signal_number=None)
    Resumable.stop(resumable, signal.SIGTERM)  # type: ignore[arg-type]  # all that it reads
    assert resumable.signal_number == signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        Resumable.stop(resumable, signal.SIGTERM)  # type: ignore[arg-type]


@pytest.mark.usefixtures("backend")
def test_early_stopping_is_remembered() -> None:
    """Patience, the best loss and its weights are kept for resuming."""
    import keras

    from lenet_multi.training.resume import _best_weights, _remembered

    stopping = keras.callbacks.EarlyStopping(patience=3)
    stopping.on_train_begin()
    stopping.wait, stopping.best, stopping.best_weights = 2, 0.5, [np.ones(2)]
    assert _remembered([stopping])["EarlyStopping"]["wait"] == 2
    assert _remembered([stopping])["EarlyStopping"]["best"] == 0.5
    assert _best_weights([stopping])[0].tolist() == [1, 1]
