"""A guest trains, resumes, is compared and is shown like the LeNet."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.own.find import find_task, of_record
from lenet_multi.runs import checkpoint
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.record import read_run
from lenet_multi.task import Task
from lenet_multi.train import TrainedRun, train
from tests.conftest import Lenet
from tests.guest import GUEST, TESTING

NAME = "tests.guest:GUEST"
CONFIG = TrainConfig(architecture=NAME, epochs=2, batch_size=32, save_every="9")


def trained(backend: str, folder: Path, state: State | None = None) -> TrainedRun:
    """Return a run of the guest without any output."""
    return train(
        CONFIG,
        backend=backend,
        folder=folder,
        state=state,
        announce=lambda line: None,
        quiet=True,
    )


@pytest.fixture(scope="module")
def whole(backend: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedRun, list[State]]:
    """A run of the guest, and the states that it kept."""
    kept: list[State] = []
    write = checkpoint.write
    with pytest.MonkeyPatch.context() as patch:

        def keep(folder: Path, state: State) -> None:
            kept.append(state)
            write(folder, state)

        patch.setattr(checkpoint, "write", keep)
        return trained(backend, tmp_path_factory.mktemp("guest")), kept


@pytest.mark.backend
def test_a_guest_learns(whole: tuple[TrainedRun, list[State]]) -> None:
    """The guest's loss falls, and its record names its own metric and no accuracy."""
    result = whole[0].result
    assert result.epochs[-1]["val_loss"] < result.epochs[0]["val_loss"]
    assert result.headline[0] == "mean_absolute_error"
    assert result.test_accuracy is None
    assert whole[0].evaluation.outputs.shape == (TESTING, 1)


@pytest.mark.backend
@pytest.mark.parametrize("epoch", [0, 1], ids=["first-epoch", "second-epoch"])
def test_a_guest_resumes_to_the_same_bits(
    whole: tuple[TrainedRun, list[State]], backend: str, epoch: int, tmp_path: Path
) -> None:
    """A guest resumed within an epoch ends in the same bits, with dropout and moving means."""
    run, kept = whole
    state = next(state for state in kept if state.epoch == epoch and state.steps)
    again = trained(backend, tmp_path, state)
    assert again.result.final_weights_sha256 == run.result.final_weights_sha256
    assert again.result.test_loss == run.result.test_loss


@pytest.mark.backend
def test_what_a_fast_way_cannot_do_is_said_and_recorded(
    whole: tuple[TrainedRun, list[State]], backend: str
) -> None:
    """Fast ways refuse a dropout that they would draw otherwise, and the record says so."""
    execution = whole[0].result.execution
    assert execution["form"] == "stock"
    reasons = {
        "torch": "Python reads values in its step, as dropout with a seed does",
        "tensorflow": "XLA draws other random numbers than TensorFlow, for dropout for example",
    }
    assert execution.get("why_stock") == reasons.get(backend)


@pytest.mark.all_backends
def test_a_guest_is_compared_and_shown(lenet: Lenet, tmp_path: Path) -> None:
    """The commands accept a guest by name: its runs agree, and one page shows them."""
    for backend in BACKENDS:
        flags = ("--architecture", NAME, "--epochs", 2, "--backend", backend, "--out", backend)
        done = lenet("train", *flags, PYTHONPATH=str(Path(__file__).parents[1]))
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"Test mean_absolute_error: [\d.]+", done.stdout.splitlines()[-1])
        assert ("stock Keras" in done.stdout) == (backend != "jax")
    compared = lenet("compare", *BACKENDS)
    assert compared.returncode == 0, compared.stdout
    assert "test errors, recounted" in compared.stdout
    assert lenet("report", *BACKENDS).returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert "mean absolute error" in page
    assert "Mistakes" not in page
    run = read_run(tmp_path / "jax")
    assert run.outputs.shape == run.targets.shape == (TESTING, 1)


@pytest.mark.all_backends
@pytest.mark.study
def test_a_guest_that_classifies_is_compared_and_shown(lenet: Lenet, tmp_path: Path) -> None:
    """Three classes and int64 labels are compared and shown like the LeNet's ten."""
    for backend in ("jax", "torch"):
        flags = ("--architecture", "tests.guest:CLASSIFIER", "--backend", backend, "--out", backend)
        done = lenet("train", *flags, PYTHONPATH=str(Path(__file__).parents[1]))
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"Test accuracy: 0\.[\d]+", done.stdout.splitlines()[-1])
    compared = lenet("compare", "jax", "torch")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert lenet("report", "jax", "torch").returncode == 0
    assert "Mistakes" in (tmp_path / "report.html").read_text()


def test_a_task_is_found_by_its_name() -> None:
    """A task of the package has a name; any other is package.module:NAME."""
    assert find_task(TrainConfig()).name == "lenet"
    assert find_task(TrainConfig(architecture=NAME)) is GUEST


def test_a_saved_run_has_no_module_imported() -> None:
    """A record may come from anybody; what it names is not run."""
    with pytest.raises(UserError, match=f"^the run is of {NAME}, whose code"):
        of_record(dataclasses.asdict(CONFIG), "the run")


def test_a_task_has_everything_that_is_a_guests() -> None:
    """A task needs only a name, data, a model and a loss; the defaults change nothing."""
    bare = Task(name="bare", load=GUEST.load, build=GUEST.build, loss=GUEST.loss)
    x = np.zeros(3)
    assert bare.prepare(x) is x
    assert bare.targets(CONFIG, x) is x
    assert (bare.metrics, bare.classifies, bare.draws) == ((), False, False)
