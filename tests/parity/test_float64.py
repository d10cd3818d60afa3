"""Where Keras is not float64 although it says so, and that the ladder mends it."""

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
from lenet_multi.parity.float64 import exact

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
off("divide", ops.divide(third, ops.ones_like(third) * 3), 1 / 9)
off("minimum", ops.minimum(third, ops.ones_like(third)), 1 / 3)
off("cos", ops.cos(third), np.cos(1 / 3))
schedule = keras.optimizers.schedules.CosineDecay(0.001, 446)
off("CosineDecay", schedule(ops.convert_to_tensor(7)), 0.0005 * (1 + np.cos(7 / 446 * np.pi)))
found["result_type"] = keras.backend.result_type("float64", "float64")

generator = np.random.default_rng(0)
images, labels = generator.random((12, 6)), generator.integers(0, 3, 12)
kernel, bias = generator.random((6, 3)), generator.random(3)
wanted = images @ kernel + bias
shifted = wanted - wanted.max(axis=1, keepdims=True)
value = np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(12), labels])
queries = generator.normal(size=(2, 5, 2, 4))
products = np.einsum("bthd,bshd->bhts", queries, queries) / 2
powers = np.exp(products - products.max(axis=-1, keepdims=True))
attended = np.einsum("bhts,bshd->bthd", powers / powers.sum(axis=-1, keepdims=True), queries)

def learned(how):
    "Note by how much a layer, a loss, a mean, tanh, attention and a step of Adam are off."
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="dense")])
    dense.set_weights([kernel, bias])
    logits = ops.convert_to_numpy(dense(images))
    found[f"Dense{how}"] = float(np.abs(logits - wanted).max() / np.abs(wanted).max())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    off(f"mean of a loss{how}", loss(labels, ops.convert_to_tensor(wanted)), value)
    off(f"mean{how}", ops.mean(ops.convert_to_tensor(np.array([1 / 3, 1 / 7]))), 5 / 21)
    off(f"tanh{how}", ops.tanh(third), np.tanh(1 / 3))
    tensor = ops.convert_to_tensor(queries)
    got = ops.convert_to_numpy(ops.dot_product_attention(tensor, tensor, tensor))
    found[f"attention{how}"] = float(np.abs(got - attended).max() / np.abs(attended).max())
    optimizer = keras.optimizers.Adam(0.1)
    weight = keras.Variable(np.array([1.0]))
    optimizer.build([weight])
    optimizer.apply([ops.convert_to_tensor(np.array([1e-3]))])
    moved = 0.1 * np.sqrt(1 - 0.999) / 0.1 * 1e-4 / (np.sqrt(1e-6 * 0.001) + 1e-7)
    off(f"Adam{how}", weight[0], 1 - moved)

learned("")
with exact() as lacking:
    learned(" in exact()")
found["lacking"] = lacking
found["result_type afterwards"] = keras.backend.result_type("float64", "float64")
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
    "tanh": {"jax"},
    "CosineDecay": {"tensorflow", "jax"},
    "Dense": {"torch"},
    "mean of a loss": {"torch"},
    "attention": {"jax", "torch"},
    "Adam": {"tensorflow"},
}
EXACT_ON_ALL = ("cast of a NumPy float64", "einsum", "divide")
MENDED = ("Dense", "mean of a loss", "mean", "tanh", "attention", "Adam")


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
def test_other_calls_are_exact(found: dict[str, Any], what: str) -> None:
    """These public calls are exact up to float64's rounding on every backend."""
    assert found[what] < EXACT


@pytest.mark.parametrize("what", MENDED)
def test_the_ladder_mends_keras(found: dict[str, Any], what: str) -> None:
    """In `exact`, what Keras rounds somewhere is exact on every backend, with nothing lacking."""
    assert found[f"{what} in exact()"] < EXACT
    assert found["lacking"] == []


def test_the_type_of_two_float64_is_float32(backend: str, found: dict[str, Any]) -> None:
    """The cause on JAX and PyTorch: Keras's promotion says float32 for two float64."""
    own = "float64" if backend == "tensorflow" else "float32"
    assert found["result_type"] == found["result_type afterwards"] == own
