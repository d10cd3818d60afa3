import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.machine.frameworks import BACKENDS, installed
from lenet_multi.runs.comparison import compare
from lenet_multi.runs.record import Result, Run, read_run
from lenet_multi.runs.tolerances import LOGITS_ACROSS_BACKENDS
from tests.conftest import child_environment

pytestmark = pytest.mark.all_backends


@pytest.fixture(scope="module")
def folders(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train one epoch on each backend, each in its own process."""
    assert installed() == BACKENDS, "these tests need all three backends; nox installs them"
    folder = tmp_path_factory.mktemp("runs")
    for backend in BACKENDS:
        subprocess.run(
            [
                *(sys.executable, "-m", "lenet_multi", "train", "--backend", backend),
                *("--epochs", "1", "--data", str(small_npz), "--out", str(folder / backend)),
            ],
            env=child_environment(),
            check=True,
        )
    return {backend: folder / backend for backend in BACKENDS}


@pytest.fixture(scope="module")
def runs(folders: dict[str, Path]) -> list[Run]:
    """The three runs, read from their folders."""
    return [read_run(folder) for folder in folders.values()]


def test_each_backend_computed_its_own_run(runs: list[Run]) -> None:
    """The three runs come from three backends and end in three different sets of weights."""
    assert [run.result.backend for run in runs] == list(BACKENDS)
    assert len({run.result.final_weights_sha256 for run in runs}) == len(BACKENDS)


@pytest.mark.parametrize(
    "backend",
    [pytest.param(one, marks=[] if one == "torch" else pytest.mark.study) for one in BACKENDS],
)
def test_a_run_imports_no_other_backend(backend: str, small_npz: Path, tmp_path: Path) -> None:
    """A run imports no other backend and prints nothing on stderr.

    Libraries would import one at the start, to write a log, and to copy or save a model.
    """
    code = (
        "import atexit, sys\n"
        f"frameworks = {list(BACKENDS)}\n"
        "atexit.register(lambda: print(*(name for name in frameworks if name in sys.modules)))\n"
        "from lenet_multi.__main__ import main\n"
        "main('train')\n"
    )
    settings = ["--recipe", "notebook", "--epochs", "1", "--checkpoint", "best", "--quiet"]
    settings += ["--backend", backend, "--data", str(small_npz), "--out", "a-run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *settings],
        cwd=tmp_path,
        env=child_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == backend
    assert done.stderr == ""


@pytest.mark.parametrize(
    "field",
    [
        "initial_weights_sha256",
        "first_epoch_order_sha256",
        "data_sha256",
        "weights",
        "parameters",
        "config",
    ],
)
def test_all_backends_start_from_the_same(runs: list[Run], field: str) -> None:
    """Data, settings, tensors, initial bits and batch order are equal on all backends."""
    first, *others = (getattr(run.result, field) for run in runs)
    assert all(other == first for other in others)


def test_the_comparison_agrees(folders: dict[str, Path], tmp_path: Path) -> None:
    """`lenet-multi compare` of the three runs exits with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "lenet_multi.compare", *map(str, folders.values())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "comparison.json").read_text())["passed"] is True


@pytest.mark.parametrize("reader", BACKENDS)
def test_every_saved_model_reads_on_every_backend(
    reader: str, folders: dict[str, Path], small_npz: Path, tmp_path: Path
) -> None:
    """Plain Keras on any backend gets the writer's logits from each saved model."""
    code = (
        "import keras, numpy as np, sys\n"
        "data, *models = sys.argv[1:]\n"
        "images = np.load(data)['x_test'].astype('float32') / 255\n"
        "for index, path in enumerate(models):\n"
        "    logits = keras.saving.load_model(path).predict(images, batch_size=500, verbose=0)\n"
        "    np.save(f'{index}.npy', logits)\n"
    )
    models = [str(folder / "model.keras") for folder in folders.values()]
    subprocess.run(
        [sys.executable, "-c", code, str(small_npz), *models],
        cwd=tmp_path,
        env=child_environment(KERAS_BACKEND=reader),
        check=True,
    )
    for index, folder in enumerate(folders.values()):
        np.testing.assert_allclose(
            np.load(tmp_path / f"{index}.npy"),
            read_run(folder).outputs,
            rtol=LOGITS_ACROSS_BACKENDS.value,
            atol=LOGITS_ACROSS_BACKENDS.value,
        )


def trained(folder: Path, *flags: str) -> list[Result]:
    """Return the records of runs of all backends with these flags, in folders of their names."""
    for backend in BACKENDS:
        command = [sys.executable, "-m", "lenet_multi", "train", "--backend", backend, *flags]
        out = str(folder / backend)
        subprocess.run([*command, "--out", out], env=child_environment(), check=True)
    return [read_run(folder / backend).result for backend in BACKENDS]


def test_a_run_of_any_backend_gives_the_first_weights(
    folders: dict[str, Path], small_npz: Path, tmp_path: Path
) -> None:
    """From one model and with class weights, all backends start and end alike."""
    of_start = ("--start-from", str(folders["torch"]), "--class-weights", "balanced")
    results = trained(tmp_path, "--epochs", "1", "--data", str(small_npz), *of_start)
    start = read_run(folders["torch"]).result.final_weights_sha256
    assert {result.initial_weights_sha256 for result in results} == {start}
    assert len({json.dumps(result.class_weights) for result in results}) == 1
    losses = [result.epochs[0]["loss"] for result in results]
    assert max(losses) == pytest.approx(min(losses), rel=1e-4)
    assert compare([tmp_path / backend for backend in BACKENDS]).passed


def test_a_run_goes_on_beyond_its_end_on_another_backend(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """All backends agree after a second epoch that follows a first one on JAX."""
    results = trained(tmp_path, "--resume", str(folders["jax"]), "--epochs", "2")
    assert {result.earlier[0]["backend"] for result in results} == {"jax"}
    losses = [result.epochs[1]["loss"] for result in results]
    assert max(losses) == pytest.approx(min(losses), rel=1e-3)
    assert compare([tmp_path / backend for backend in BACKENDS]).passed
