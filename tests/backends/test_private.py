import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lenet_multi.backends import choice, private
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.train import train

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

MISSING = "keras.optimizers:Optimizer._no_such_name"
TOLD = "this version has no keras.optimizers.Optimizer._no_such_name"


def test_this_version_has_every_name(backend: str) -> None:
    """The installed version has every private name, so the fast ways are used."""
    assert private.why_not(backend) is None


@pytest.mark.parametrize("name", [MISSING, "keras.no_such_module:name", "no_such_package:name"])
def test_the_first_name_that_is_missing_is_told(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the first missing attribute, module or package."""
    monkeypatch.setitem(private.NAMES, backend, (private.VARIABLE_INDEX, name, MISSING))
    assert private.why_not(backend) == f"this version has no {name.replace(':', '.')}"


def test_an_attribute_of_an_instance_is_looked_for_in_one(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check looks in an instance, because the learning rate is not a class attribute."""
    import keras

    class Without(keras.optimizers.SGD):  # type: ignore[misc]  # Keras carries no types
        def __getattribute__(self, name: str) -> object:
            if name == "_learning_rate":
                raise AttributeError(name)
            return super().__getattribute__(name)

    monkeypatch.setitem(private.NAMES, backend, (private.SCHEDULE,))
    assert private.why_not(backend) is None
    monkeypatch.setattr(keras.optimizers, "SGD", Without)
    assert private.why_not(backend) == (
        "this version has no keras.optimizers.Optimizer._learning_rate"
    )


def test_a_run_without_a_name_trains_through_stock_keras(
    backend: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a private name, Keras's own layers, steps and Adam train; run and record say why."""
    import keras

    from lenet_multi.backends.fast import InForm

    monkeypatch.setitem(private.NAMES, backend, (MISSING,))
    how = choice.here("winograd")
    assert (how.form, how.answer_form, how.xla_loops) == (choice.STOCK, choice.STOCK, False)
    said: list[str] = []
    config = TrainConfig(epochs=1, batch_size=475)
    run = train(config, lambda: small, backend=backend, announce=said.append, quiet=True)
    assert said[-1] == f"{backend} trains through stock Keras: {TOLD}"
    assert run.result.execution["why_stock"] == TOLD
    model = run.model
    assert not isinstance(model, InForm)
    assert type(model).train_step is keras.Sequential.train_step
    assert type(model).make_train_function is keras.Sequential.make_train_function
    assert model.optimizer.__class__.__module__.startswith("keras.")


@pytest.mark.parametrize("imported", [True, False], ids=["imported", "not imported"])
def test_keras_asks_again_for_tensorflow(
    monkeypatch: pytest.MonkeyPatch, *, imported: bool
) -> None:
    """In the block Keras finds no TensorFlow unless it is imported; a later export finds it."""
    from keras.src.utils import module_utils

    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    if not imported:
        del sys.modules["tensorflow"]
    installed = module_utils.LazyModule("this_stands_for", "tensorflow")
    monkeypatch.setattr(installed, "initialize", lambda: None)
    monkeypatch.setattr(module_utils, "tensorflow", installed)
    with private.tensorflow_left_out():
        assert installed.available is imported
    assert installed.available


def test_a_keras_that_asks_in_another_way_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this Keras has no such module attribute, the block changes nothing and nothing fails."""
    from keras.src.utils import module_utils

    monkeypatch.delattr(module_utils, "tensorflow")
    with private.tensorflow_left_out():
        pass


NAMES = private.NAMES.get(os.environ.get("KERAS_BACKEND", ""), ())

# Relative to the movement, after eight steps of Adam in another form and kernel. Dropping a part of
# the step would show as 1e-1. Measured 4.1e-5.
ROUNDING = 1e-3


def trained_weights(backend: str, data: Dataset) -> tuple[list[Any], list[str]]:
    """Return the weights after eight steps, and the lines that the run printed."""
    said: list[str] = []
    config = TrainConfig(epochs=1, batch_size=119, lr_schedule="constant")
    run = train(config, lambda: data, backend=backend, announce=said.append, quiet=True)
    return run.model.get_weights(), said


@pytest.fixture(scope="module")
def fast_weights(backend: str, small: Dataset) -> list[Any]:
    """The weights after training in the fast way."""
    weights, said = trained_weights(backend, small)
    assert not any("stock Keras" in line for line in said)
    return weights


@pytest.mark.parametrize("taken", NAMES)
def test_without_a_name_stock_keras_comes_to_the_same_weights(
    backend: str,
    taken: str,
    small: Dataset,
    fast_weights: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without any one private name, a line names it, and the weights differ only by rounding."""
    find = private.find

    def without(name: str) -> Any:
        if name == taken:
            raise AttributeError(name)
        return find(name)

    monkeypatch.setattr(private, "find", without)
    if taken == private.SCHEDULE:
        monkeypatch.setattr(private, "schedule", lambda optimizer: without(taken))
    weights, said = trained_weights(backend, small)
    reason = f"this version has no {taken.replace(':', '.')}"
    assert said[-1] == f"{backend} trains through stock Keras: {reason}"
    from lenet_multi.lenet.networks import build

    start = build(TrainConfig(), small).get_weights()
    for stock, fast, initial in zip(weights, fast_weights, start, strict=True):
        gap = np.linalg.norm(stock - fast) / np.linalg.norm(fast - initial)
        assert gap < ROUNDING


PRODUCT = """
import torch
from lenet_multi.backends import private
torch.manual_seed(0)
x, w, b = torch.randn(128, 784), torch.randn(10, 784), torch.randn(10)
product = private.onednn_product()
found = product(x, w, b, "none", [], "") if product else torch.nn.functional.linear(x, w, b)
exact = x.double() @ w.double().T + b.double()
print(torch.get_num_threads(), product is not None, float((found - exact).abs().max()) < 1e-3)
"""


@pytest.mark.parametrize(
    ("name", "value", "is_used"),
    [
        ("OMP_THREAD_LIMIT", "1", False),
        ("OMP_DYNAMIC", "TRUE", False),
        ("OMP_THREAD_LIMIT", "64", True),
        ("OMP_DYNAMIC", "false", True),
    ],
)
def test_a_product_has_all_of_its_threads(
    backend: str, name: str, value: str, is_used: bool
) -> None:
    """Where OpenMP may give oneDNN fewer, whose product then goes to infinity, none is used."""
    if backend != "torch" or len(os.sched_getaffinity(0)) < 2:
        return
    environ = {**os.environ, "OMP_NUM_THREADS": "2", name: value}
    told = subprocess.check_output([sys.executable, "-c", PRODUCT], env=environ, text=True)
    assert told.split() == ["2", str(is_used), "True"]
