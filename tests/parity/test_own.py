"""The ladder climbs a user's model from the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lenet_multi.parity.ascent import COMPARISON
from lenet_multi.parity.ladder import FORWARD, OPTIMIZER, Finding
from tests.conftest import Lenet, child_environment

TWO = ("--backend", "jax", "--backend", "torch")

MODEL = """
import keras
import numpy as np


def build():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(8), layers.BatchNormalization(), layers.ReLU(),
         layers.Dropout(0.3), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    return model


class Own(keras.layers.Layer):
    def call(self, x):
        return x * (1.001 if keras.backend.backend() == "torch" else 1.0)


def differing():
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((5,)), dense(8), Own(), dense(1)])
    model.compile("adam", "mse")
    return model


def tokens():
    layers = keras.layers
    x = keras.Input((6,), dtype="int32")
    model = keras.Sequential([x, layers.Embedding(4, 3), layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def lacking():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.UpSampling2D(2, interpolation="lanczos3"),
         layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    return model


def unequal():
    units = 8 if keras.backend.backend() == "jax" else 9
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def raising():
    raise ValueError("no such size")


def wide():
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((5,)), dense(900, "tanh"), dense(1)])
    model.compile("adam", "mse")
    return model


def third():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", ["accuracy"])  # the third argument is the weights of losses
    return model


def misfit():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    model.compile("sgd", "categorical_crossentropy")
    return model


def data():
    return np.zeros((64, 5), "float32"), np.zeros((64, 7), "float32")
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A user's file in the command's folder."""
    (tmp_path / "mine.py").write_text(MODEL)
    return "mine.py"


def findings(folder: Path) -> list[Finding]:
    """Return the findings that a climb recorded."""
    content = json.loads((folder / COMPARISON).read_text())
    return [Finding.of(found) for found in content["findings"]]


@pytest.mark.all_backends
@pytest.mark.study
def test_a_model_with_dropout_and_batch_normalisation_trains_the_same(
    mine: str, lenet: Lenet, tmp_path: Path
) -> None:
    """Both precisions pass each rung; the bias before the normalisation is a null tensor."""
    done = lenet("parity", f"{mine}:build", *TWO, "--quick", "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the climb takes about" in done.stderr
    assert "Null tensors, which only rounding moves: dense/bias." in done.stdout
    assert "The same at every rung: jax, torch." in done.stdout
    assert {found.precision for found in findings(tmp_path / "out")} == {"float32", "float64"}


@pytest.mark.all_backends
@pytest.mark.study
def test_a_saved_model_climbs_in_float64(mine: str, lenet: Lenet, tmp_path: Path) -> None:
    """A .keras file of float32 begins with its weights, and computes in float64 when asked."""
    code = "import mine; mine.wide().save('saved.keras')"
    environ = child_environment(KERAS_BACKEND="torch")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, check=True)
    done = lenet(
        *("parity", "saved.keras", *TWO, "--quick", "--precision", "float64", "--out", "out")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The same at every rung: jax, torch." in done.stdout


@pytest.mark.study  # `tests/interface` does the same in the gate
@pytest.mark.all_backends
def test_the_layer_that_differs_is_named(mine: str, lenet: Lenet, tmp_path: Path) -> None:
    """A layer of the user's that is off by a thousandth on PyTorch is named, with its entries."""
    done = lenet("parity", f"{mine}:differing", *TWO, "--quick", "--out", "out")
    assert done.returncode == 1, done.stdout + done.stderr
    first = next(found for found in findings(tmp_path / "out") if not found.passed)
    assert (first.rung, first.what, first.where) == (FORWARD, "layers", "sequential/own")
    assert first.gap == pytest.approx(1e-3, rel=0.01)
    assert "128 of 128 entries differ" in first.entries
    assert "They DIFFER, first at L1 forward, layers" in done.stdout


@pytest.mark.all_backends
def test_the_embedding_bug_is_found_at_the_first_step(
    mine: str, lenet: Lenet, tmp_path: Path
) -> None:
    """On TensorFlow Adam is wrong for repeated tokens: the first step shows it, SGD does not."""
    two = ("--backend", "tensorflow", "--backend", "torch", "--precision", "float64")
    done = lenet("parity", f"{mine}:tokens", *two, "--quick", "--out", "out")
    assert done.returncode == 1, done.stdout + done.stderr
    first = next(found for found in findings(tmp_path / "out") if not found.passed)
    assert (first.rung, first.what) == (OPTIMIZER, "Adam")
    assert first.where == "step 1, embedding/embeddings"
    assert "A known difference of this model: Embedding with an adaptive" in done.stdout


@pytest.mark.all_backends
def test_a_layer_that_a_backend_lacks_is_named_and_the_others_go_on(
    mine: str, lenet: Lenet, tmp_path: Path
) -> None:
    """PyTorch has no lanczos; it fails with Keras's words, and the other two are compared."""
    done = lenet("parity", f"{mine}:lacking", "--quick", "--precision", "float32", "--out", "out")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "torch float32 FAILED" in done.stdout
    assert "lanczos" in done.stdout
    assert {found.pair for found in findings(tmp_path / "out") if found.what == "losses"} == {
        ("tensorflow", "jax")
    }


@pytest.mark.all_backends
@pytest.mark.study
def test_another_model_on_one_backend_differs_at_the_lowest_rung(
    mine: str, lenet: Lenet, tmp_path: Path
) -> None:
    """A builder that makes another model on one backend fails L0, with both shapes."""
    done = lenet(
        *("parity", f"{mine}:unequal", *TWO, "--quick", "--precision", "float32", "--out", "out")
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "They DIFFER, first at L0 structure, tensors" in done.stdout


@pytest.mark.all_backends
@pytest.mark.parametrize(
    ("flags", "message", "lines"),
    [
        pytest.param(
            *(("mine.py:bild",), "mine.py has no bild; give one of build", 1),
            marks=pytest.mark.study,
        ),
        pytest.param(("nowhere.py:build",), "cannot read", 1, marks=pytest.mark.study),
        (("mine.py:raising",), "mine.py:raising failed on jax: ValueError: no such size", 5),
        pytest.param(
            ("mine.py:third",), "the loss does not fit outputs", 1, marks=pytest.mark.study
        ),
        (("mine.py:misfit", "--data", "mine.py:data"), "the loss does not fit outputs", 1),
        (("mine.py:build", "--steps", "3"), "--steps must be at least 20, not 3", 1),
        (("mine.py:build", "--loss", "mees"), "--loss mees: Keras has no such one", 1),
        (("mine.py:build", "--images", "640"), "--images is for ours; drop it", 1),
        (("--steps", "30"), "--steps is a setting of a climb of your own MODEL alone", 1),
    ],
    ids=[
        *("no-function", "no-file", "their-error", "weights", "targets", "steps"),
        *("no-loss", "images", "of-own"),
    ],
)
def test_bad_input_is_refused_before_the_climb(
    mine: str,
    lenet: Lenet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    message: str,
    lines: int,
) -> None:
    """Each gets one line and status 2; an error in the user's code has the user's traceback too."""
    done = lenet("parity", *flags, *TWO, "--out", "out")
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) <= lines, done.stderr
    assert "lenet_multi/" not in done.stderr


@pytest.mark.all_backends
def test_ctrl_c_keeps_what_was_found(mine: str, tmp_path: Path) -> None:
    """A climb that is stopped compares the rungs that both backends reached, and says so."""
    command = (sys.executable, "-m", "lenet_multi", "parity", f"{mine}:build", *TWO, "--out", "out")
    process = subprocess.Popen(
        [*command, "--steps", "5000"],
        cwd=tmp_path,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    reached = [tmp_path / "out" / f"{name}-float32-climb" / "evidence.json" for name in TWO[1::2]]
    until = time.monotonic() + 120
    while not all(path.exists() for path in reached) and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "No verdict: the climb was stopped; what it reached agrees." in out
    assert json.loads((tmp_path / "out" / COMPARISON).read_text())["stopped"] is True
    assert {found.rung for found in findings(tmp_path / "out")} >= {FORWARD}
