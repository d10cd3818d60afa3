import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from lenet_multi.data.examples import Examples
from lenet_multi.data.metrics import count_correct, cross_entropy
from lenet_multi.errors import UserError
from lenet_multi.inference.assess import (
    Assessment,
    Mistake,
    OfClass,
    as_json,
    assess,
    print_assessment,
)
from lenet_multi.inference.saved import find
from lenet_multi.runs.folder import read_run
from tests.conftest import Lenet

ROUNDING = 1e-5  # of a mean loss of 0.3; measured 2e-7 between backends


def example() -> Assessment:
    """Return the assessment of six answers to three classes, of which nobody answers the last."""
    labels = np.array([0, 0, 0, 1, 1, 2], np.uint8)
    logits = np.array(
        [[4, 0, 0], [4, 0, 0], [0, 1, 0], [0, 4, 0], [5, 0, 0], [2, 0, 0]], np.float32
    )
    images = np.zeros((6, 28, 28, 1), np.uint8)
    return Assessment(Examples(images, labels), logits, cross_entropy(logits, labels))


def test_each_class_is_counted() -> None:
    """Precision is of a class's answers and recall of its images; neither is of nothing."""
    zero, one, two = example().by_class()
    assert (zero, one, two) == (OfClass(3, 2, 4), OfClass(2, 1, 2), OfClass(1, 0, 0))
    assert (zero.precision, zero.recall) == (2 / 4, 2 / 3)
    assert (two.precision, two.recall) == (None, 0)
    assert OfClass(0, 0, 1).recall is None


def test_the_surest_mistakes_come_first() -> None:
    """Right answers are none; of the wrong ones no more come than asked for."""
    mistakes = example().worst_mistakes(2)
    assert [(m.image, m.label, m.answer) for m in mistakes] == [(4, 1, 0), (5, 2, 0)]
    assert mistakes[0].probability == pytest.approx(np.exp(5) / (np.exp(5) + 2))
    assert isinstance(mistakes[0], Mistake)


def test_json_holds_what_the_tables_show() -> None:
    """Counts, shares and the matrix, label first."""
    content = as_json(example())
    assert json.loads(json.dumps(content)) == content
    assert content["confusion"] == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert (content["test_correct"], content["test_accuracy"]) == (3, 0.5)
    assert content["classes"][2]["precision"] is None


@pytest.mark.parametrize(("classes", "shown"), [(10, True), (40, False)], ids=["few", "many"])
def test_a_matrix_too_wide_is_left_out(classes: int, shown: bool) -> None:
    """The figures of each class stay."""
    labels = np.arange(classes, dtype=np.uint8)
    logits = np.eye(classes, dtype=np.float32)
    output = io.StringIO()
    images = np.zeros((classes, 8, 8, 1), np.uint8)
    found = Assessment(Examples(images, labels), logits, 0.0)
    print_assessment(found, Console(file=output, width=140))
    text = output.getvalue()
    assert ("Confusion" in text) == shown
    assert text.count("100.00%") == 2 * classes


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_the_command_gives_the_runs_own_figures(
    tmp_path: Path, lenet: Lenet, small_run: Path, small_npz: Path
) -> None:
    """Accuracy, exactly, and loss of training come back, as the last two lines; and pictures."""
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
    """Other sizes and labels that the model does not know are told apart."""
    model = find(small_run)
    for name, shape, label, message in (
        ("wide", (2, 28, 30), 0, "takes images of 28x28x1 and .* has 28x30x1"),
        ("labels", (2, 28, 28), 10, "knows 10 classes and .* has labels up to 10"),
    ):
        path = tmp_path / f"{name}.npz"
        images, labels = np.zeros(shape, np.uint8), np.full(2, label, np.uint8)
        np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
        with pytest.raises(UserError, match=message):
            assess(model, str(path), backend=backend)


@pytest.mark.backend
def test_another_head_and_a_functional_model_are_evaluated(backend: str, tmp_path: Path) -> None:
    """A model of the user's own, with a softmax, is counted and weighed by its probabilities."""
    import keras

    inputs = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(inputs)
    outputs = keras.layers.Softmax()(keras.layers.Dense(10)(flat))
    network = keras.Model(inputs, outputs)
    network.save(tmp_path / "own.keras")
    found = assess(find(tmp_path / "own.keras"), None, backend=backend)
    shares = network.predict(found.test.x / np.float32(255), verbose=0, batch_size=500)
    labels = found.test.y
    assert found.confusion.trace() == count_correct(shares, labels)
    surprise = -np.log(shares[np.arange(len(labels)), labels])
    assert found.loss == pytest.approx(surprise.mean(), rel=1e-4)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_what_a_backend_cannot_compute_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may lack something, or the model make no sense: TensorFlow takes no name like a:b."""
    from lenet_multi.inference import answer

    monkeypatch.setattr("keras.backend.backend", lambda: name)
    message = f"{name} backend cannot compute m.keras: no `qr`; choose another --backend"
    with pytest.raises(UserError, match=message), answer.computing(Path("m.keras")):
        raise NotImplementedError("no `qr`\nand more")
