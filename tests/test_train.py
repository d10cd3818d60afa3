import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.config import RECIPES, TrainConfig
from lenet_multi.data import Dataset
from lenet_multi.errors import UserError
from lenet_multi.runs import read_run
from tests.conftest import Lenet
from tests.test_model import PARAMETERS

pytestmark = pytest.mark.backend

# Floors and bands of the recipes on real MNIST, over the seeds in benchmarks/results.
STANDARD_FLOOR = 0.989
BASELINE_FLOOR = 0.920
# Eight stock runs of the notebook gave 96.7 to 97.6 % and 0.088 to 0.126.
NOTEBOOK_ACCURACY, NOTEBOOK_LOSS = (0.967, 0.976), (0.088, 0.126)


def tiny(**settings: object) -> TrainConfig:
    """Return the standard recipe for one epoch, with changes."""
    return dataclasses.replace(TrainConfig(), **{"epochs": 1, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_tiny_run_learns(backend: str, small: Dataset, recipe: str) -> None:
    """Two thousand images are enough to beat guessing (10 %) by far, in each recipe."""
    from lenet_multi.train import train

    config = dataclasses.replace(RECIPES[recipe], epochs=4, validation_split=0.1)
    result = train(config, small, backend=backend, announce=lambda line: None).result
    assert result.test_accuracy > 0.7
    losses = [epoch["loss"] for epoch in result.epochs]
    assert losses == sorted(losses, reverse=True)


def test_the_counts_are_announced_before_training(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training, validation and test counts are told before the first step, whatever follows."""
    from lenet_multi import fit
    from lenet_multi.train import train

    def refuse(*arguments: object) -> None:
        raise RuntimeError("training began")

    monkeypatch.setattr(fit, "fit", refuse)
    told: list[str] = []
    with pytest.raises(RuntimeError, match="training began"):
        train(tiny(validation_split=0.95), small, backend=backend, announce=told.append)
    assert "100 training, 1,900 validation, 500 test images" in told[0]
    assert f"{PARAMETERS:,} parameters" in told[0]


def test_the_same_seed_gives_the_same_bits(backend: str, small: Dataset) -> None:
    """Twice the same seed ends in bit-identical weights; another seed does not."""
    from lenet_multi.train import train

    def final(seed: int) -> str:
        config = tiny(seed=seed, epochs=2)
        run = train(config, small, backend=backend, announce=lambda line: None)
        return run.result.final_weights_sha256

    first, second, other = final(0), final(0), final(1)
    assert first == second != other


def test_data_that_fits_no_model_is_refused(backend: str, small: Dataset) -> None:
    """Images too small for the LeNet give one clear error before training."""
    from lenet_multi.train import train

    cut = dataclasses.replace(
        small,
        train=dataclasses.replace(small.train, images=small.train.images[:, :12, :12]),
        test=dataclasses.replace(small.test, images=small.test.images[:, :12, :12]),
    )
    with pytest.raises(UserError, match="12x12 pixels are too small"):
        train(tiny(), cut, backend=backend)


@pytest.mark.usefixtures("backend")
def test_the_command_leaves_a_run_folder(tmp_path: Path, lenet: Lenet, small_npz: Path) -> None:
    """Results on stdout end with the notebook's two lines; progress goes to stderr."""
    done = lenet("train", "--epochs", 2, "--data", small_npz, "--out", "a-run")
    assert done.returncode == 0, done.stderr
    counts, *_, loss, accuracy = done.stdout.splitlines()
    assert "1,900 training, 100 validation, 500 test images" in counts
    run = read_run(tmp_path / "a-run")
    assert loss == f"Test loss: {run.result.test_loss}"
    assert accuracy == f"Test accuracy: {run.result.test_accuracy}"
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["1/2", "2/2"]
    assert run.result.parameters == PARAMETERS
    assert len(run.result.epochs) == run.result.config["epochs"] == 2
    assert sorted(run.result.seconds) == ["build_and_compile", "evaluate", "import", "train"]
    spent = sum(e["train_seconds"] + e["validation_seconds"] for e in run.result.epochs)
    assert 0.5 * run.result.seconds["train"] < spent <= run.result.seconds["train"]


@pytest.mark.usefixtures("backend")
def test_the_saved_model_needs_plain_keras_only(
    tmp_path: Path, lenet: Lenet, small_npz: Path, small: Dataset
) -> None:
    """model.keras, loaded without this package, gives the logits in predictions.npz."""
    assert lenet("train", "--epochs", 1, "--data", small_npz, "--out", "a-run").returncode == 0
    code = (
        "import keras, numpy as np, sys\n"
        "model = keras.saving.load_model('a-run/model.keras')\n"
        "images = np.load(sys.argv[1])['x_test'].astype('float32') / 255\n"
        "np.save('logits.npy', model.predict(images, batch_size=500, verbose=0))\n"
        "assert 'lenet_multi' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, small_npz], cwd=tmp_path, check=True)
    logits = read_run(tmp_path / "a-run").logits
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("backend")
def test_ctrl_c_leaves_no_run_folder(tmp_path: Path, small_npz: Path) -> None:
    """Interrupted in the middle of training, the command exits 130 and leaves nothing."""
    import signal

    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "lenet_multi", "train"),
            *("--epochs", "1000", "--data", str(small_npz), "--out", "a-run"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 1/1000")
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert stderr.splitlines()[-1].endswith("interrupted; no run folder was written")
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("backend")
def test_a_disk_that_refuses_keeps_the_figures(
    tmp_path: Path, lenet: Lenet, small_npz: Path
) -> None:
    """Where the run cannot be kept, its figures are still printed; exit status 2, one line."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # a file may not grow larger
    try:
        done = lenet("train", "--epochs", 1, "--data", small_npz, "--out", "a-run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("lenet-multi: cannot write")
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1].startswith("Test accuracy: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("backend")
def test_the_module_is_the_command(tmp_path: Path, small_npz: Path) -> None:
    """`python -m lenet_multi.train` does what `lenet-multi train` does."""
    arguments = ["--epochs", "1", "--data", str(small_npz), "--out", "a-run"]
    stdout = subprocess.check_output(
        [sys.executable, "-m", "lenet_multi.train", *arguments], cwd=tmp_path, text=True
    )
    assert stdout.splitlines()[-1].startswith("Test accuracy: ")
    assert (tmp_path / "a-run" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_reaches_its_figure(tmp_path: Path, lenet: Lenet, recipe: str) -> None:
    """On real MNIST each recipe reaches its floor, and the notebook's stays in its band."""
    done = lenet("train", "--recipe", recipe, "--out", "a-run")
    assert done.returncode == 0, done.stderr
    result = read_run(tmp_path / "a-run").result
    if recipe == "notebook":
        assert (result.train_images, result.validation_images) == (3_000, 57_000)
        assert NOTEBOOK_ACCURACY[0] <= result.test_accuracy <= NOTEBOOK_ACCURACY[1]
        assert NOTEBOOK_LOSS[0] <= result.test_loss <= NOTEBOOK_LOSS[1]
    else:
        assert (result.train_images, result.validation_images) == (57_000, 3_000)
        floor = {"standard": STANDARD_FLOOR, "baseline": BASELINE_FLOOR}[recipe]
        assert floor <= result.test_accuracy < 1
