import numpy as np
import pytest

from lenet_multi.backends.choice import execution
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.data.metrics import count_correct, cross_entropy
from lenet_multi.lenet.recipes import RECIPES

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("count", [1, 499, 500])
def test_every_image_is_evaluated(small: Dataset, recipe: str, count: int) -> None:
    """Any number of images gives as many rows of logits, and their exact count and loss."""
    from lenet_multi.training.model import build

    from lenet_multi.inference.evaluate import evaluate

    images = small.test[:count]
    evaluation = evaluate(build(RECIPES[recipe], (28, 28, 1)), images)
    assert evaluation.logits.shape == (count, 10)
    assert evaluation.logits.dtype == np.float32
    assert evaluation.correct == count_correct(evaluation.logits, images.y)
    assert evaluation.loss == cross_entropy(evaluation.logits, images.y)


def test_evaluation_agrees_with_keras(small: Dataset) -> None:
    """Keras's own `evaluate` gives the same accuracy, and the loss to float32 rounding."""
    import keras
    from lenet_multi.training.model import build, compile_model

    from lenet_multi.inference.evaluate import evaluate

    model = build(RECIPES["standard"], (28, 28, 1))
    compile_model(
        model, RECIPES["standard"], execution(keras.backend.backend()), training_images=128
    )
    evaluation = evaluate(model, small.test)
    loss, accuracy = model.evaluate(small.test.x / np.float32(255), small.test.y, verbose=0)
    assert round(accuracy * len(small.test)) == evaluation.correct
    np.testing.assert_allclose(loss, evaluation.loss, rtol=1e-5)


def test_shifted_labels_lower_the_count(small: Dataset) -> None:
    """The count depends on the labels: shifted by one they are not the same answers."""
    from lenet_multi.training.model import build

    from lenet_multi.inference.evaluate import evaluate

    model = build(RECIPES["standard"], (28, 28, 1))
    logits = evaluate(model, small.test).logits
    right = Examples(small.test.x, logits.argmax(axis=1).astype(np.uint8))
    wrong = Examples(small.test.x, (right.y + 1) % 10)
    assert evaluate(model, right).correct == len(small.test)
    assert evaluate(model, wrong).correct == 0
