import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lenet_multi.backends.choice import execution
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples, as_stored
from lenet_multi.data.metrics import count_correct, cross_entropy
from lenet_multi.errors import UserError
from lenet_multi.inference.evaluate import (
    Evaluation,
    _matched,
    as_json,
    evaluate,
    evaluate_saved,
)
from lenet_multi.inference.saved import SavedModel, find
from lenet_multi.lenet.image_sets import load
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.lenet.tasks import LENET
from lenet_multi.own.find import find_task
from lenet_multi.runs.record import SCHEMA_VERSION, VERSIONS, read_run
from tests.conftest import Lenet
from tests.examples import example_run

ROUNDING = 1e-5  # for a mean loss of 0.3; measured 2e-7 between backends

STANDARD = RECIPES["standard"]


def example() -> Evaluation:
    """Return the evaluation of six answers to three classes; no answer is the last class."""
    labels = np.array([0, 0, 0, 1, 1, 2], np.uint8)
    logits = np.array(
        [[4, 0, 0], [4, 0, 0], [0, 1, 0], [0, 4, 0], [5, 0, 0], [2, 0, 0]], np.float32
    )
    images = np.zeros((6, 28, 28, 1), np.uint8)
    return Evaluation(
        Examples(images, labels), logits, cross_entropy(logits, labels), {"accuracy": 0.5}
    )


def test_each_class_is_counted() -> None:
    """Precision counts a class's answers, recall its images; without any, the value is None."""
    classes = example().by_class()
    assert [(one["class"], one["images"], one["right"]) for one in classes] == [
        (0, 3, 2),
        (1, 2, 1),
        (2, 1, 0),
    ]
    assert [(one["precision"], one["recall"]) for one in classes] == [
        (2 / 4, 2 / 3),
        (1 / 2, 1 / 2),
        (None, 0),
    ]
    labels = np.array([1, 1], np.uint8)
    missed = Evaluation(Examples(labels, labels), np.eye(2, dtype=np.float32), 0.0, {})
    assert missed.by_class()[0]["recall"] is None


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_of_older_runs_are_not_taken_for_others(version: int) -> None:
    """A library's data are refused if an older program may have labelled them otherwise."""
    examples = Examples(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 9, 1], np.uint8))
    dataset = Dataset(examples, examples)
    config = dataclasses.asdict(TrainConfig(data="hf:digits"))
    for known in (dataset.sha256(), "0" * 64):
        run = example_run(schema_version=version, config=config, data_sha256=known)
        model = SavedModel(Path("model.keras"), run.result)
        if version < SCHEMA_VERSION and known != dataset.sha256():
            with pytest.raises(UserError, match="an older program gave its classes other labels"):
                _matched(model, 10, dataset, "hf:digits")
        else:
            test, names, notes = _matched(model, 10, dataset, "hf:digits")
            assert (test.y.tolist(), names, notes) == ([0, 9, 1], None, ())


def test_classes_with_names_have_them_beside_their_numbers() -> None:
    """The figures of each class have its number and its name."""
    named = dataclasses.replace(example(), class_names=("cat", "dog", "owl"))
    assert [[*one.items()][:2] for one in named.by_class()] == [
        [("class", label), ("name", name)] for label, name in enumerate(("cat", "dog", "owl"))
    ]
    assert as_json(named)["classes"][1]["name"] == "dog"
    assert "name" not in as_json(example())["classes"][1]


def test_json_holds_what_the_tables_show() -> None:
    """The JSON holds counts, shares and the confusion matrix, with labels as rows."""
    content = as_json(example())
    assert json.loads(json.dumps(content)) == content
    assert content["confusion"] == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert (content["test_correct"], content["test_accuracy"]) == (3, 0.5)
    assert content["classes"][2]["precision"] is None


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("count", [1, 499, 500])
def test_every_image_is_evaluated(small: Dataset, recipe: str, count: int) -> None:
    """Any number of images gives one row of logits each, and their exact count and loss."""
    from lenet_multi.training.setup import build

    config, images = RECIPES[recipe], small.test[:count]
    task = find_task(config)
    evaluation = evaluate(build(task, config, small), task, images)
    assert evaluation.outputs.shape == (count, 10)
    assert evaluation.outputs.dtype == np.float32
    assert evaluation.correct == count_correct(evaluation.outputs, images.y)
    assert evaluation.loss == cross_entropy(evaluation.outputs, images.y)
    assert evaluation.metrics == {"accuracy": evaluation.correct / count}


@pytest.mark.backend
def test_evaluation_agrees_with_keras(backend: str, small: Dataset) -> None:
    """Keras's own `evaluate` gives the same accuracy, and the same loss up to float32 rounding."""
    from lenet_multi.training.setup import build, compile_model

    model = build(LENET, STANDARD, small)
    compile_model(model, LENET, STANDARD, execution(backend), examples=128)
    evaluation = evaluate(model, LENET, small.test)
    loss, accuracy = model.evaluate(small.test.x / np.float32(255), small.test.y, verbose=0)
    assert round(accuracy * len(small.test)) == evaluation.correct
    np.testing.assert_allclose(loss, evaluation.loss, rtol=1e-5)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_shifted_labels_lower_the_count(small: Dataset) -> None:
    """The count depends on the labels: labels shifted by one give no right answers."""
    from lenet_multi.training.setup import build

    model = build(LENET, STANDARD, small)
    outputs = evaluate(model, LENET, small.test).outputs
    right = Examples(small.test.x, outputs.argmax(axis=1).astype(np.uint8))
    wrong = Examples(small.test.x, (right.y + 1) % 10)
    assert evaluate(model, LENET, right).correct == len(small.test)
    assert evaluate(model, LENET, wrong).correct == 0


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_a_model_that_is_no_classifier_is_evaluated(small: Dataset) -> None:
    """Keras reports a regression's metrics; those that NumPy knows are NumPy's, in float64."""
    import keras

    values = Examples(small.test.x, small.test.y.astype(np.float32))
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile(loss="mse", metrics=["mean_absolute_error", "r2_score"])
    task = dataclasses.replace(LENET, classifies=False)
    found = evaluate(model, task, values)
    assert found.outputs.shape == (len(values), 1)
    difference = found.outputs[:, 0].astype(np.float64) - values.y
    assert found.metrics["mean_squared_error"] == np.mean(difference**2)
    assert found.metrics["mean_absolute_error"] == np.mean(np.abs(difference))
    assert found.loss == pytest.approx(found.metrics["mean_squared_error"], rel=ROUNDING)
    assert list(found.metrics) == ["mean_absolute_error", "r2_score", "mean_squared_error"]


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_outputs_of_another_shape_than_targets_are_evaluated(small: Dataset) -> None:
    """If outputs and targets differ in shape, only Keras computes the metrics."""
    import keras

    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    found = evaluate(model, dataclasses.replace(LENET, classifies=False), small.test)
    assert found.outputs.shape == (len(small.test), 10)
    assert list(found.metrics) == ["sparse_categorical_accuracy"]


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_each_of_several_outputs_is_evaluated() -> None:
    """Outputs keep their names, and metrics the order of `compile`, on every backend."""
    import keras

    from tests.models import two_inputs

    x, y = two_inputs.data()
    task = dataclasses.replace(LENET, classifies=False, prepare=as_stored)
    model = two_inputs.build()
    found = evaluate(model, task, Examples(x, y))
    assert {name: array.shape for name, array in found.outputs.items()} == {
        "rating": (len(y["rating"]), 1),
        "clicks": (len(y["rating"]), 1),
    }
    wanted = keras.tree.map_structure(np.asarray, model.predict(x, verbose=0))
    np.testing.assert_allclose(found.outputs["clicks"], wanted["clicks"], atol=1e-5)
    assert list(found.metrics) == [
        *("clicks_binary_accuracy", "rating_mae", "rating_loss", "clicks_loss"),
        *("clicks_mean_squared_error", "clicks_mean_absolute_error"),
        *("rating_mean_squared_error", "rating_mean_absolute_error"),
    ]
    assert found.metrics["rating_mae"] == pytest.approx(found.metrics["rating_mean_absolute_error"])


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_metrics_have_the_order_of_compile(small: Dataset) -> None:
    """The first metric of `compile` is the headline, whatever its place in the alphabet."""
    import keras

    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile(loss="mse", metrics=["r2_score", "mae"])
    values = Examples(small.test.x, small.test.y.astype(np.float32))
    found = evaluate(model, dataclasses.replace(LENET, classifies=False), values)
    assert list(found.metrics)[:2] == ["r2_score", "mae"]


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_outputs_in_bfloat16_are_kept_in_float32(small: Dataset) -> None:
    """NumPy's files know no bfloat16."""
    import keras

    layers = [keras.layers.Flatten(), keras.layers.Dense(1, dtype="bfloat16")]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    model.compile(loss="mse")
    values = Examples(small.test.x, small.test.y.astype(np.float32))
    found = evaluate(model, dataclasses.replace(LENET, classifies=False), values)
    assert found.outputs.dtype == np.float32


@pytest.mark.backend
@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
def test_the_command_gives_the_runs_own_figures(
    tmp_path: Path, lenet: Lenet, small_run: Path, small_npz: Path
) -> None:
    """`evaluate` prints the run's exact accuracy and its loss last, and draws two pictures."""
    done = lenet("evaluate", small_run, "--data", small_npz, "--out", "pictures")
    assert done.returncode == 0, done.stderr
    *_, loss, accuracy = done.stdout.splitlines()
    result = read_run(small_run).result
    assert accuracy == f"Test accuracy: {result.test_accuracy}"
    assert float(loss.removeprefix("Test loss: ")) == pytest.approx(result.test_loss, abs=ROUNDING)
    for name in ("confusion.png", "mistakes.png"):
        assert Image.open(tmp_path / "pictures" / name).format == "PNG"


@pytest.mark.backend
def test_data_that_does_not_fit_is_refused(backend: str, small_run: Path, tmp_path: Path) -> None:
    """Images of another size and labels beyond the model's classes get different errors."""
    model = find(small_run)
    for name, shape, label, message in (
        ("wide", (2, 28, 30), 0, "takes images of 28x28x1 but .* has 28x30x1"),
        ("labels", (2, 28, 28), 10, "has 10 classes but .* has labels up to 10"),
    ):
        path = tmp_path / f"{name}.npz"
        images, labels = np.zeros(shape, np.uint8), np.full(2, label, np.uint8)
        np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
        with pytest.raises(UserError, match=message):
            evaluate_saved(model, str(path), backend=backend)


@pytest.mark.backend
def test_the_test_half_is_enough(
    backend: str, small_run: Path, small: Dataset, tmp_path: Path
) -> None:
    """Data without training images are evaluated like data with them."""
    whole = evaluate_saved(find(small_run), _saved(tmp_path / "whole.npz", small), backend=backend)
    only = tmp_path / "only.npz"
    np.savez(only, x_test=small.test.x, y_test=small.test.y)
    found = evaluate_saved(find(small_run), str(only), backend=backend)
    np.testing.assert_array_equal(found.outputs, whole.outputs)
    assert not found.notes


@pytest.mark.backend
def test_images_in_no_parts_are_all_evaluated_unless_trained_on(
    backend: str, small_run: Path, small: Dataset, tmp_path: Path
) -> None:
    """All images of data without a test set are the test, unless the model trained on them."""
    path = tmp_path / "digits.npz"
    np.savez(path, x=small.test.x, y=small.test.y)
    model = find(small_run)
    found = evaluate_saved(model, str(path), backend=backend)
    assert len(found.test) == len(small.test)
    assert "all its 500 images are the test" in found.notes[-1]
    assert model.result
    trained_on = dataclasses.replace(model.result, data_sha256=load(str(path)).sha256())
    found = evaluate_saved(
        dataclasses.replace(model, result=trained_on), str(path), backend=backend
    )
    assert len(found.test) == len(small.test) // 10
    assert "50 of its 500 training images, drawn by a fixed seed" in found.notes[-1]


@pytest.mark.backend
def test_a_run_on_transposed_images_is_evaluated_on_such(
    backend: str, small_run: Path, small: Dataset, tmp_path: Path
) -> None:
    """A run's own data are transposed as in its training, other data only if the user asks."""
    model, source = find(small_run), _saved(tmp_path / "a.npz", small)
    assert model.result
    settings = model.result.config | {"transpose": True, "data": source}
    turned = dataclasses.replace(model, result=dataclasses.replace(model.result, config=settings))
    own = evaluate_saved(turned, None, backend=backend)
    np.testing.assert_array_equal(own.test.x, small.test.x.swapaxes(1, 2))
    asked = evaluate_saved(model, source, backend=backend, transpose=True)
    np.testing.assert_array_equal(asked.outputs, own.outputs)
    np.testing.assert_array_equal(
        evaluate_saved(turned, source, backend=backend).test.x, small.test.x
    )


def _saved(path: Path, dataset: Dataset) -> str:
    train, test = dataset.train, dataset.test
    np.savez(path, x_train=train.x, y_train=train.y, x_test=test.x, y_test=test.y)
    return str(path)


@pytest.mark.backend
def test_another_head_and_a_functional_model_are_evaluated(backend: str, tmp_path: Path) -> None:
    """A user's functional model with a softmax is evaluated by its probabilities."""
    import keras

    inputs = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(inputs)
    outputs = keras.layers.Softmax()(keras.layers.Dense(10)(flat))
    network = keras.Model(inputs, outputs)
    network.save(tmp_path / "own.keras")
    found = evaluate_saved(find(tmp_path / "own.keras"), None, backend=backend)
    shares = network.predict(found.test.x / np.float32(255), verbose=0, batch_size=500)
    labels = found.test.y
    assert found.confusion.trace() == count_correct(shares, labels)
    surprise = -np.log(shares[np.arange(len(labels)), labels])
    assert found.loss == pytest.approx(surprise.mean(), rel=1e-4)


def saved_as(path: Path, run: Path, first: str) -> Path:
    """Save the model of `run` with a softmax and a `first` layer, so that it takes raw pixels."""
    import keras

    before = find(run).load()
    inputs = keras.Input(before.input_shape[1:])
    front: list[Any] = []
    if first == "rescaling":
        front = [keras.layers.Rescaling(1 / 255)]
    elif first == "normalization":
        front = [keras.layers.Normalization(axis=None)]
        front[0].adapt(np.array([-255.0, 255.0]))  # mean 0, deviation 255
    elif first == "nested":
        front = [keras.Sequential([inputs, keras.layers.Rescaling(1 / 255)])]
    model = keras.Sequential([inputs, *front, *before.layers])
    if first == "nothing":
        weights = model.get_weights()
        model.set_weights([weights[0] / 255, *weights[1:]])
    model.layers[-1].activation = keras.activations.softmax
    model.save(path)
    return path


@pytest.mark.backend
@pytest.mark.parametrize("first", ["rescaling", "normalization", "nested"])
def test_a_model_is_fed_what_its_first_layers_take(
    backend: str, small_run: Path, small_npz: Path, tmp_path: Path, first: str
) -> None:
    """A model that scales pixels itself gets them unscaled, and is right as often as before."""
    path = saved_as(tmp_path / "model.keras", small_run, first)
    found = evaluate_saved(find(path), str(small_npz), backend=backend)
    assert found.correct == read_run(small_run).result.test_correct
    assert found.doubts == []
    wrong = find(path, asked_range="0,1")
    worse = evaluate_saved(wrong, str(small_npz), backend=backend)
    assert any(line.endswith("try --input-range 0,255") for line in worse.doubts)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_the_command_warns_of_a_wrong_range(
    tmp_path: Path, lenet: Lenet, small_run: Path, small_npz: Path
) -> None:
    """If the layers do not tell the range, the command says what it assumes and what to try."""
    path = saved_as(tmp_path / "model.keras", small_run, "nothing")
    done = lenet("evaluate", path, "--data", small_npz)
    assert done.returncode == 0
    fed, *_, better = done.stderr.splitlines()
    assert fed.startswith("Fed: pixels in [0, 1], assumed, as its layers do not tell")
    assert better.startswith("lenet-multi: warning: of the same images, ")
    assert better.endswith("try --input-range 0,255")
    done = lenet("evaluate", path, "--data", small_npz, "--input-range", "0,255", "--json")
    assert done.stderr == "Fed: pixels in [0, 255], as asked\n"
    content = json.loads(done.stdout)
    assert content["test_correct"] == read_run(small_run).result.test_correct
    assert content["input_range"] == "0,255"
