"""A run of a user's own model is evaluated with the code that the user names."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.inference.saved import SavedModel, find
from lenet_multi.inference.with_code import _settings
from lenet_multi.runs.record import read_run
from tests.conftest import PROJECT, Lenet
from tests.examples import example_values_run, keep

ROUNDING = 1e-5  # relative, for a mean loss; measured 2e-7 between backends

FILE = PROJECT / "tests" / "models" / "two_inputs.py"
CODE, DATA = f"{FILE}:build", f"{FILE}:data"

OTHER = """
import keras

def build():
    inputs = {
        "user": keras.Input((), dtype="int32", name="user"),
        "item": keras.Input((8,), name="item"),
    }
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs["item"]))
    model.compile("sgd", "mse")
    return model
"""


def saved(architecture: str, data: str) -> SavedModel:
    """Return a saved model of a run with these settings."""
    run = example_values_run()
    config = dataclasses.asdict(TrainConfig()) | {"architecture": architecture, "data": data}
    return SavedModel(Path("m.keras"), dataclasses.replace(run.result, config=config))


@pytest.mark.parametrize(
    ("model", "code", "source", "message"),
    [
        (saved(CODE, DATA), "lenet", None, "--model lenet is no code of your own; give"),
        (saved("lenet", "mnist"), CODE, None, "m.keras is of lenet, not of "),
        (SavedModel(Path("m.keras")), CODE, None, "m.keras is of no run, which would name"),
        (saved(CODE, "evil.py:data"), CODE, None, "on evil.py:data, code that a saved run may not"),
        (saved(CODE, "mnist"), CODE, None, "on mnist, code that a saved run may not"),
    ],
    ids=["a-task", "a-run-of-ours", "no-run", "other-code", "no-code"],
)
def test_what_names_no_trusted_code_is_refused(
    model: SavedModel, code: str, source: str | None, message: str
) -> None:
    """A saved run names no code to start: neither the model's nor that of other data."""
    with pytest.raises(UserError, match=re.escape(message)):
        _settings(model, code, source)


@pytest.mark.parametrize("data", [DATA, "drawn", "some.npz"], ids=["its-code", "drawn", "npz"])
def test_data_without_other_code_are_the_runs(data: str) -> None:
    """The run's data are used if they start no code but that of the file that the user names."""
    assert _settings(saved(CODE, data), CODE, None).data == data
    assert _settings(saved(CODE, "evil.py:data"), CODE, data).data == data


def test_the_settings_are_those_of_the_run() -> None:
    """The run's own settings decide the loss, with the code at the place that the user gives."""
    run = saved("elsewhere.py:build", DATA)
    assert run.result
    run.result.config["loss"] = "mse"
    config = _settings(run, CODE, None)
    assert (config.loss, config.architecture) == ("mse", CODE)


def test_a_run_of_own_code_says_what_evaluates_it(tmp_path: Path, lenet: Lenet) -> None:
    """Each command refuses a stranger's run in one line, which names the way."""
    settings = dataclasses.asdict(TrainConfig(architecture="mine.py:build"))
    run = keep(example_values_run(config=settings), tmp_path / "run")
    for arguments in (
        ("evaluate", run),
        ("predict", "image.png", "--model", run),
        ("export", run, "--format", "onnx"),
    ):
        done = lenet(*arguments)
        assert done.returncode == 2
        assert done.stderr == (
            f"lenet-multi: {run}/model.keras is of mine.py:build, whose code a saved run may not "
            "start; give evaluate the flag --model mine.py:build; to predict or export, use "
            "keras.saving.load_model and model.export\n"
        )


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_run_gives_its_own_figures_again(backend: str, tmp_path: Path, lenet: Lenet) -> None:
    """`evaluate --model` prints the run's loss and metrics; other code is refused."""
    flags = ("--data", DATA, "--epochs", 1, "--backend", backend, "--out", "run", "--quiet")
    done = lenet("train", CODE, *flags)
    assert done.returncode == 0, done.stderr
    done = lenet("evaluate", "run", "--model", CODE, "--json")
    assert done.returncode == 0, done.stderr
    found, result = json.loads(done.stdout), read_run(tmp_path / "run").result
    assert found["backend"] == backend
    assert found["test_examples"] == result.test_images
    assert found["test_loss"] == pytest.approx(result.test_loss, rel=ROUNDING)
    assert found["test_metrics"] == pytest.approx(result.test_metrics, rel=ROUNDING)

    (tmp_path / "other.py").write_text(OTHER)
    done = lenet("evaluate", "run", "--model", "other.py:build", "--data", DATA)
    assert done.returncode == 2
    assert "model.keras does not fit the model of other.py:build" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    renamed = FILE.read_text().replace('(1, name="clicks")', '(1, name="taps")')
    (tmp_path / "renamed.py").write_text(renamed)
    done = lenet("evaluate", "run", "--model", "renamed.py:build", "--data", DATA)
    assert done.returncode == 2
    assert "has other weights than the model of renamed.py:build" in done.stderr.splitlines()[-1]
    done = lenet("evaluate", "run", "--model", CODE, "--out", "pictures")
    assert done.returncode == 2
    assert "--out is for classifiers of images of this package; drop it" in done.stderr


@pytest.mark.all_backends
def test_runs_with_several_outputs_are_compared_and_evaluated_anywhere(
    tmp_path: Path, lenet: Lenet
) -> None:
    """Two runs agree, one page shows them, and other backends give the same figures."""
    for backend in ("jax", "torch"):
        flags = ("--data", DATA, "--epochs", 1, "--backend", backend, "--out", backend)
        assert lenet("train", CODE, *flags).returncode == 0
    compared = lenet("compare", "jax", "torch")
    assert compared.returncode == 0, compared.stdout
    assert lenet("report", "jax", "torch").returncode == 0
    loss = read_run(tmp_path / "jax").result.test_loss
    for backend in ("torch", "tensorflow", "numpy"):
        done = lenet("evaluate", "jax", "--model", CODE, "--backend", backend, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["test_loss"] == pytest.approx(loss, rel=ROUNDING)


def test_a_file_with_code_opens_only_with_code(tmp_path: Path) -> None:
    """Without the user's code, a run of own code is refused before its model's file is read."""
    settings = dataclasses.asdict(TrainConfig(architecture="mine.py:build"))
    run = keep(example_values_run(config=settings), tmp_path / "run")
    with pytest.raises(UserError, match="whose code a saved run may not start"):
        find(run)
    with pytest.raises(UserError, match=r"is no \.keras file"):  # a stand-in
        find(run, with_code=True)
