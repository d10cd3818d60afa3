"""Where Keras is not float64 although it says so, and that our replacements are."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import child_environment

pytestmark = pytest.mark.backend

# float64 must be set before JAX is imported, so this runs in its own process.
IN_FLOAT64 = """
import json, sys
import numpy as np
from lenet_multi.machine import keras_start
keras_start.start(sys.argv[1], floatx="float64")
import keras
from keras import ops
from lenet_multi.parity.float64 import ExactMean, exact_model, make_exact

found = {}

def off(name, tensor, wanted):
    "Note by how much a result is off, relative to NumPy's."
    found[name] = abs(float(ops.convert_to_numpy(tensor)) - wanted) / abs(wanted)

third = ops.convert_to_tensor(np.float64(1 / 3))
off("cast of a Python float", ops.cast(0.999, "float64"), 0.999)
off("cast of a NumPy float64", ops.cast(np.float64(0.999), "float64"), 0.999)
off("matmul", ops.matmul(third[None, None], third[None, None])[0, 0], 1 / 9)
off("einsum", ops.einsum("ij,jk->ik", third[None, None], third[None, None])[0, 0], 1 / 9)
off("divide_no_nan", ops.divide_no_nan(third, ops.ones_like(third) * 3), 1 / 9)
off("mean", ops.mean(ops.convert_to_tensor(np.array([1 / 3, 1 / 7]))), 5 / 21)
off("divide", ops.divide(third, ops.ones_like(third) * 3), 1 / 9)
off("minimum", ops.minimum(third, ops.ones_like(third)), 1 / 3)
off("cos", ops.cos(third), np.cos(1 / 3))
schedule = keras.optimizers.schedules.CosineDecay(0.001, 446)
off("CosineDecay", schedule(ops.convert_to_tensor(7)), 0.0005 * (1 + np.cos(7 / 446 * np.pi)))
found["result_type"] = keras.backend.result_type("float64", "float64")

generator = np.random.default_rng(0)
images, labels = generator.random((12, 6)), generator.integers(0, 3, 12)
dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="dense")])
kernel, bias = generator.random((6, 3)), generator.random(3)
dense.set_weights([kernel, bias])
exact = exact_model(dense)
wanted = images @ kernel + bias
for name, model in (("Dense", dense), ("exact_model", exact)):
    logits = ops.convert_to_numpy(model(images))
    found[name] = float(np.abs(logits - wanted).max() / np.abs(wanted).max())
found["names"] = [[weight.path for weight in model.weights] for model in (dense, exact)]

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
shifted = wanted - wanted.max(axis=1, keepdims=True)
value = np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(12), labels])
off("mean of a loss", loss(labels, ops.convert_to_tensor(wanted)), value)
off("ExactMean", ExactMean(loss)(labels, ops.convert_to_tensor(wanted)), value)
by_name = ExactMean.from_config(ExactMean("sparse_categorical_crossentropy").get_config())
softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
off("ExactMean by name", by_name(labels, ops.convert_to_tensor(softmax)), value)

for name in ("Adam", "exact Adam"):
    optimizer = keras.optimizers.Adam(0.1)
    if name.startswith("exact"):
        make_exact(optimizer)
    weight = keras.Variable(np.array([1.0]))
    optimizer.build([weight])
    optimizer.apply([ops.convert_to_tensor(np.array([1e-3]))])
    moved = 0.1 * np.sqrt(1 - 0.999) / 0.1 * 1e-4 / (np.sqrt(1e-6 * 0.001) + 1e-7)
    off(name, weight[0], 1 - moved)
print("FOUND", json.dumps(found))
"""

ROUNDED, EXACT = 1e-9, 1e-14  # float32 rounds by about 1e-8, float64 by about 1e-16

# What Keras 3.15.1 rounds to float32, by backend. If a later Keras is exact, the test fails.
ROUNDED_ON = {
    "cast of a Python float": {"tensorflow"},
    "matmul": {"torch"},
    "divide_no_nan": {"torch"},
    "mean": {"jax", "torch"},
    "minimum": {"torch"},
    "cos": {"jax"},
    "CosineDecay": {"tensorflow", "jax"},
    "Dense": {"torch"},
    "mean of a loss": {"torch"},
    "Adam": {"tensorflow"},
}
EXACT_ON_ALL = (
    *("cast of a NumPy float64", "einsum", "divide"),
    *("exact_model", "ExactMean", "ExactMean by name", "exact Adam"),
)


@pytest.fixture(scope="module")
def found(backend: str) -> dict[str, Any]:
    """What the code above found on the backend."""
    done = subprocess.run(
        [sys.executable, "-c", IN_FLOAT64, backend],
        env=child_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    return dict(json.loads(line.removeprefix("FOUND")))


@pytest.mark.parametrize("what", ROUNDED_ON)
def test_keras_rounds_to_float32(backend: str, found: dict[str, Any], what: str) -> None:
    """Each public call has float32's rounding on these backends, and is exact on the others."""
    if backend in ROUNDED_ON[what]:
        assert found[what] > ROUNDED
    else:
        assert found[what] < EXACT


@pytest.mark.parametrize("what", EXACT_ON_ALL)
def test_there_is_a_public_way_round(found: dict[str, Any], what: str) -> None:
    """Each replacement is exact up to float64's rounding on every backend."""
    assert found[what] < EXACT


def test_the_type_of_two_float64_is_float32(backend: str, found: dict[str, Any]) -> None:
    """The cause on JAX and PyTorch: Keras's promotion says float32 for two float64."""
    assert found["result_type"] == ("float64" if backend == "tensorflow" else "float32")


def test_the_exact_model_has_the_same_weights(found: dict[str, Any]) -> None:
    """The exact model keeps the weights' names, so saved weights and tables of gaps fit."""
    stock, exact = found["names"]
    assert stock == exact
