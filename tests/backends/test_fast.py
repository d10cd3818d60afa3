import dataclasses
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from lenet_multi import backends
from lenet_multi.backends.choice import STOCK, execution, forms_of
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.lenet.tasks import LENET
from lenet_multi.machine.keras_start import CPU, GPU
from tests.backends.models import in_form

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

ROUNDING = 1e-4  # four steps in another form; measured 3e-6


@pytest.mark.parametrize("recipe", ["standard", "notebook"])
def test_the_step_counts_as_keras_does(backend: str, small: Dataset, recipe: str) -> None:
    """Loss and accuracy equal those of Keras's own step, also with a smaller last batch."""
    from lenet_multi.data.batches import Batches
    from lenet_multi.training.setup import build, compile_model

    config = RECIPES[recipe]
    images = small.train[: 3 * 128 + 5]
    examples = Examples(images.x, LENET.targets(config, images.y))
    batches = Batches(examples, batch_size=128, prepare=LENET.prepare)
    logs = []
    for form in (STOCK, None):
        model = build(LENET, config, small)
        how = dataclasses.replace(execution(backend, form), steps_per_execution=1)
        compile_model(model, LENET, config, how, examples=len(images))
        history = model.fit(batches, shuffle=False, verbose=0).history
        logs.append({name: values[-1] for name, values in history.items()})
        # Every backend trains a fast form in its own subclass, and the stock form in none.
        assert isinstance(model, backends.module(backend).Training) == (form is None)
    stock, ours = logs
    assert ours.keys() == stock.keys() == {"loss", "accuracy"}
    assert ours["loss"] == pytest.approx(stock["loss"], rel=ROUNDING)
    assert ours["accuracy"] == pytest.approx(stock["accuracy"], abs=1.5 / len(images))
    assert 0.1 < ours["accuracy"] < np.exp(-0.1)


@pytest.mark.parametrize("rate", [0.0, 0.5], ids=["without dropout", "with dropout"])
def test_a_model_without_a_state_is_asked_once(backend: str, small: Dataset, rate: float) -> None:
    """After the first epoch no layer runs in Python; PyTorch's dropout with a seed always does."""
    import keras

    from lenet_multi.data.batches import Batches
    from lenet_multi.lenet.networks import lenet
    from lenet_multi.training.setup import compile_model

    config = RECIPES["standard"]
    *stack, head = lenet().layers
    drawing = [keras.layers.Dropout(rate, seed=1)] if rate else []
    model = keras.Sequential([keras.Input((28, 28, 1)), *stack, *drawing, head])
    compile_model(model, LENET, config, execution(backend), examples=len(small.train))
    asked = Mock(wraps=model.call)
    model.call = asked
    batches = Batches(small.train, batch_size=128, prepare=LENET.prepare)
    model.fit(batches, shuffle=False, verbose=0)
    lean = backend == "torch" and not rate
    assert (model.fast.step is not None) == lean
    if lean:
        assert asked.call_count == 3  # to build, for whole batches, for the last batch
    assert asked.called
    asked.reset_mock()
    model.fit(batches, shuffle=False, verbose=0)
    assert asked.call_count == (len(batches) if rate and backend == "torch" else 0)


def test_a_model_stays_the_stock_one(backend: str, small: Dataset) -> None:
    """In any form a model has the stock model's summary, config, and weight names and shapes."""
    import keras

    from lenet_multi.training.setup import build

    def shown(form: str) -> tuple[str, Any, list[tuple[str, Any]]]:
        keras.utils.clear_session()  # Keras counts the inputs that it names
        model = build(LENET, TrainConfig(), small)
        in_form(model, form)
        lines: list[str] = []
        model.summary(print_fn=lambda line, **options: lines.append(line))
        tensors = [(weight.path, tuple(weight.shape)) for weight in model.weights]
        return "\n".join(lines), model.get_config(), tensors

    for form in forms_of(backend):
        assert shown(form) == shown(STOCK)


def test_a_model_is_still_of_its_class(backend: str, small: Dataset, tmp_path: Path) -> None:
    """A fast model is a subclass of its own, can be made again, and saves as the stock class."""
    import keras

    from lenet_multi.backends.fast import InForm, make_fast
    from lenet_multi.training.setup import build

    model, other = (build(LENET, TrainConfig(), small) for _ in range(2))
    make_fast(model, execution(backend))
    assert isinstance(model, keras.Sequential)
    assert isinstance(model, InForm)
    assert type(other) is keras.Sequential
    assert model.fast.stock is keras.Sequential
    make_fast(model, execution(backend, STOCK))
    assert not isinstance(model, InForm)
    assert model.fast.stock is keras.Sequential
    make_fast(model, execution(backend))
    model.save(tmp_path / "model.keras")
    assert isinstance(model, InForm)  # also after saving
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is keras.Sequential
    assert all(map(np.array_equal, loaded.get_weights(), model.get_weights()))


def test_answers_have_a_form_of_their_own(backend: str, small: Dataset) -> None:
    """A model trains in one form and predicts in another."""
    from lenet_multi.backends.fast import make_fast
    from lenet_multi.training.setup import build

    model = build(LENET, TrainConfig(), small)
    make_fast(model, execution(backend))
    model.fast.steps, model.fast.answer_steps = (
        [lambda inputs, training, number=number: number] for number in (1, 2)
    )
    asked = [model.call(None, training=training) for training in (True, False, None)]
    assert asked == [1, 2, 2]


def stack(*layers: Any) -> Any:
    """Return a stack of `layers` on small images."""
    import keras

    return keras.Sequential([keras.Input((4, 4, 1)), *layers, keras.layers.Flatten()])


def test_a_form_is_for_a_plain_stack(backend: str) -> None:
    """A model that is not a plain stack computes in the stock form."""
    import keras

    from lenet_multi.backends.fast import fitting

    how = execution(backend)
    plain = stack()
    for model, forms in (
        (plain, (how.form, how.answer_form)),
        (keras.Model(plain.inputs, plain.outputs), (STOCK, STOCK)),
    ):
        fitted = fitting(model, how)
        assert (fitted.form, fitted.answer_form) == forms


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("convolves", [False, True], ids=["products", "a convolution"])
def test_xla_loops_over_convolutions_on_a_gpu_alone(
    backend: str, convolves: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XLA loops over convolutions only on a GPU; on a CPU that takes four times as long.

    TensorFlow then trains in the stock form: another took it twice as long. Every backend keeps
    freed memory on a CPU.
    """
    import keras

    from lenet_multi.backends import fast

    monkeypatch.setattr(fast, "device", lambda: device)
    layers = [keras.layers.Conv2D(1, 3, padding="same")] if convolves else []
    wanted = execution(backend, device=device)
    how = fast.fitting(stack(*layers), wanted)
    is_slow = backend == "tensorflow" and convolves and device == CPU
    assert how.form == (STOCK if is_slow else wanted.form)
    loops = backend != "torch" and not (convolves and device == CPU)
    assert how.xla_loops == loops
    assert how.keep_freed_memory == (device == CPU)
