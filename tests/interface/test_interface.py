import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lenet_multi as lm
from tests.conftest import child_environment
from tests.examples import example_run, keep

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(160, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def build() -> Any:
    """Return a small compiled model."""
    import keras

    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("adam", "mean_squared_error")
    return model


def broken() -> Any:
    """Raise an error as a user's builder may."""
    raise ValueError("no such size")


def temporary() -> set[Path]:
    """Return what is in the folders for temporary results."""
    return set(Path(tempfile.gettempdir()).glob("lenet-multi-*/*"))


@pytest.mark.backend
def test_a_function_and_arrays_train(backend: str) -> None:
    """A run comes back with its record, and its folder is still there."""
    run = lm.train(build, (X, Y), backend=backend, epochs=2, batch_size=16, metrics="mae")
    assert run.result.backend == backend
    assert len(run.result.epochs) == 2
    assert run.result.config["batch_size"] == 16
    assert "mean_absolute_error" in run.result.test_metrics
    assert run.outputs.shape == (16, 1)
    assert (run.folder / "model.keras").exists()
    assert run.sentence.startswith("tests.interface.test_interface:build, trained, is in ")


@pytest.mark.backend
@pytest.mark.any_backend
def test_two_trainings_of_a_function_can_be_compared(backend: str, tmp_path: Path) -> None:
    """Runs of one function without a module are of one model, wherever the function was."""
    runs = [
        lm.train(lambda: build(), (X, Y), backend=backend, epochs=1, out=tmp_path / name)
        for name in ("one", "two")
    ]
    assert lm.compare(*runs).passed
    assert lm.compare(tmp_path / "one", str(tmp_path / "two")).passed


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_finished_run_goes_on(backend: str) -> None:
    """With `resume` and `epochs`, a longer run comes back, from a folder of its own."""
    run = lm.train(build, (X, Y), backend=backend, epochs=1)
    longer = lm.train(build, (X, Y), backend=backend, resume=run.folder, epochs=2)
    assert longer.folder != run.folder
    assert longer.result.epochs[0] == run.result.epochs[0]
    assert [one["epochs"] for one in longer.result.earlier] == [1]


@pytest.mark.backend
def test_what_cannot_be_resumed_is_refused(backend: str, tmp_path: Path) -> None:
    """The command's own line comes back."""
    with pytest.raises(lm.UserError, match="none"):
        lm.train(resume=tmp_path / "none")


@pytest.mark.backend
def test_a_users_error_is_shown_once(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback of the user's code is on stderr, and the error says which code failed where."""
    before = temporary()
    with pytest.raises(lm.UserError, match=rf"broken failed on {backend}: .*no such size"):
        lm.train(broken, (X, Y), backend=backend)
    shown = capsys.readouterr().err
    assert shown.count("ValueError: no such size") == 1
    assert "in broken" in shown
    assert temporary() <= before


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_model_is_evaluated(backend: str, small_run: Path, small_npz: Path) -> None:
    """A run or its folder answers the test images of any data."""
    result = lm.evaluate(small_run, small_npz, backend=backend)
    assert result.backend == backend
    assert result.test_images == 500
    assert 0.5 < result.test_accuracy <= 1
    exchanged = lm.evaluate(small_run, small_npz, backend=backend, transpose=True)
    assert exchanged.test_accuracy < result.test_accuracy


def test_runs_are_compared_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run folders and runs are compared, and the result is shown as tables."""

    class Refused(subprocess.Popen[bytes]):
        def __init__(self, *given: object, **named: object) -> None:
            pytest.fail(f"a process starts: {given}")

    folders = [keep(example_run(name), tmp_path / name) for name in ("jax", "torch")]
    monkeypatch.setattr(subprocess, "Popen", Refused)
    found = lm.compare(*folders)
    assert found.passed
    assert found.sentence == "The runs agree."
    assert found._repr_html_().count("<table>") == 2


def test_a_misspelt_argument_is_refused_before_anything_runs() -> None:
    """It is a `TypeError` that names the nearest argument, and no process starts."""
    before = temporary()
    with pytest.raises(TypeError, match="did you mean 'epochs'"):
        lm.train("lenet", epoch=1)
    with pytest.raises(TypeError, match="did you mean 'steps'"):
        lm.parity("lenet", step=1)
    assert temporary() <= before


def test_the_folder_for_results_goes_with_the_process(tmp_path: Path) -> None:
    """What has no place of its own is deleted when Python exits."""
    code = "import lenet_multi.interface as i; print(i._session().name)"
    environ = child_environment(TMPDIR=str(tmp_path))
    printed = subprocess.check_output([sys.executable, "-c", code], env=environ, text=True)
    assert Path(printed.strip()).parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_a_command_that_crashes_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without JSON the error says that the command ended, and how."""
    monkeypatch.setattr("lenet_multi.interface.child.run", lambda words, environ: (1, "Traceback"))
    with pytest.raises(RuntimeError, match="lenet-multi train ended with status 1; see"):
        lm.train("lenet")


TWO = ["jax", "torch"]

DIFFERING = """
import keras

def build():
    activation = "tanh" if keras.backend.backend() == "torch" else "softsign"
    hidden = keras.layers.Dense(8, activation=activation, name="hidden")
    model = keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(1)])
    model.compile("adam", "mean_squared_error")
    return model
"""


@pytest.mark.all_backends
def test_a_model_that_trains_the_same_passes() -> None:
    """A test's assertion passes, for a function that is sent with its arrays."""
    lm.assert_same_training(lambda: build(), (X, Y), TWO, steps=20, precision="float32")


@pytest.mark.all_backends
def test_a_model_that_trains_otherwise_fails_with_the_layer(tmp_path: Path) -> None:
    """The error has the rung, the pair, the layer, the gap, and the command to type."""
    (tmp_path / "differing.py").write_text(DIFFERING)
    place = f"{tmp_path / 'differing.py'}:build"
    with pytest.raises(AssertionError) as failed:
        lm.assert_same_training(place, backends=TWO, steps=20, precision="float32")
    lines = str(failed.value).splitlines()
    words = [line.partition(":")[0].strip() for line in lines[1:]]
    assert words == ["rung", "pair", "where", "gap", "again"]
    assert "L1 forward" in lines[1]
    assert lines[2] == "  pair:  jax and torch"
    assert "hidden" in lines[3]
    assert lines[5] == (
        f"  again: python -m lenet_multi parity {place} --backend=jax --backend=torch --quick "
        "--steps=20 --precision=float32"
    )


@pytest.mark.all_backends
def test_a_climb_that_is_too_slow_fails() -> None:
    """A process that takes too long is told, and it is a failure."""
    with pytest.raises(AssertionError, match=r"failed: .* took longer than 0\.5 s"):
        lm.assert_same_training(build, (X, Y), TWO, timeout=0.5)
