"""What tests share: the backend under test, small image sets, the command as a process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet import image_sets
from lenet_multi.machine import keras_start
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.folder import new_run_folder
from lenet_multi.runs.record import Run, write_run
from lenet_multi.train import TrainedRun, train

PROJECT = Path(__file__).parent.parent

# pytest's own backend. A test that starts Keras in this process sets another one.
CHOSEN = {name: value for name, value in os.environ.items() if name == "KERAS_BACKEND"}

# Python code that prints how many of a million subnormal products are not zero.
COUNT_SUBNORMALS = (
    "import keras, numpy; tiny = keras.ops.full((1_000_000,), 1e-30) * 1e-10;"
    "print(numpy.count_nonzero(keras.ops.convert_to_numpy(tiny).view(numpy.uint32)))"
)

pytest_plugins = ["tests.browser"]

# A shell's background job ignores Ctrl-C, and so does everything that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow Hypothesis example means a busy machine, not a defect.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# A mutant is noticed at the first failure; the smallest one takes minutes to find.
PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("unshrunk", deadline=None, phases=PHASES)


def pytest_collection_finish() -> None:
    """Fail if a test module imports Keras at collection, which would fix the backend for all."""
    assert "keras" not in sys.modules, "import Keras, and what imports it, within the tests"


@pytest.fixture(scope="session")
def backend() -> str:
    """The backend that KERAS_BACKEND names, started; without the variable the test fails."""
    name = os.environ.get("KERAS_BACKEND")
    assert name in BACKENDS, "tests of a backend need KERAS_BACKEND; nox sets it"
    keras_start.start(name)
    return name


def start_once(backend: str) -> Any:
    """Return Keras on `backend`, started if it has not started yet."""
    if "keras" not in sys.modules:
        keras_start.start(backend)
    import keras

    assert keras.backend.backend() == backend
    return keras


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """The packaged MNIST."""
    return image_sets.load()


@pytest.fixture(scope="session")
def small(mnist: Dataset) -> Dataset:
    """The first 1,000 training and 500 test images of MNIST."""
    return Dataset(mnist.train[:1000], mnist.test[:500])


@pytest.fixture(scope="session")
def small_npz(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small image sets as an .npz."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(
        path,
        x_train=small.train.x,
        y_train=small.train.y,
        x_test=small.test.x,
        y_test=small.test.y,
    )
    return path


def train_quietly(
    config: TrainConfig,
    dataset: Dataset,
    backend: str,
    folder: Path | None = None,
    state: State | None = None,
) -> TrainedRun:
    """Return a run of `config` on `dataset` without any output."""
    return train(
        config,
        lambda: dataset,
        backend=backend,
        folder=folder,
        state=state,
        announce=lambda line: None,
        quiet=True,
    )


@pytest.fixture(scope="session")
def kept(
    backend: str, small: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainedRun, Path]:
    """A run of two epochs on the small image sets, and the folder with all it can keep."""
    folder = tmp_path_factory.mktemp("kept")
    config = TrainConfig(epochs=2, checkpoint="every-epoch", tensorboard=True)
    return train_quietly(config, small, backend, folder), folder


@pytest.fixture(scope="session")
def small_run(kept: tuple[TrainedRun, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that run, as saved; tests only read it."""
    run, _ = kept
    folder = tmp_path_factory.mktemp("runs") / run.result.backend
    with new_run_folder(folder) as draft:
        seen = run.evaluation
        write_run(Run(draft, run.result, seen.outputs, seen.test.y), run.model.save)
    return folder


def child_environment(**environ: str) -> dict[str, str]:
    """Return this process's environment without KERAS_BACKEND, plus `environ`."""
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return {**inherited, **environ}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit files of processes started in the block to `size` bytes, as a full disk would."""
    resource = pytest.importorskip("resource", reason="Windows limits no files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


Lenet = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lenet(tmp_path: Path) -> Lenet:
    """Run `python -m lenet_multi ARGUMENTS` in an empty folder, in its own process.

    Its backend is the one that pytest was started with, whatever earlier tests started.
    """

    def run(*arguments: object, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lenet_multi", *map(str, arguments)],
            cwd=tmp_path,
            env=child_environment(**{**CHOSEN, **environ}),
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many of the sabotages were caught."""
    caught, missed = (
        sum("test_a_sabotage" in report.nodeid for report in terminalreporter.getreports(outcome))
        for outcome in ("passed", "failed")
    )
    if caught or missed:
        terminalreporter.write_line(
            f"sabotages caught where they belong: {caught} of {caught + missed}"
        )
