import numpy as np
import pytest

from lenet_multi.backends.choice import execution
from lenet_multi.config import RECIPES
from lenet_multi.data.metrics import count_correct, cross_entropy
from lenet_multi.data.sets import Dataset, ImageSet

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("count", [1, 499, 500])
def test_every_image_is_evaluated(small: Dataset, recipe: str, count: int) -> None:
    """Any number of images gives as many rows of logits, and their exact count and loss."""
    from lenet_multi.inference.evaluate import evaluate
    from lenet_multi.training.model import build

    images = small.test[:count]
    evaluation = evaluate(build(RECIPES[recipe], (28, 28, 1)), images)
    assert evaluation.logits.shape == (count, 10)
    assert evaluation.logits.dtype == np.float32
    assert evaluation.correct == count_correct(evaluation.logits, images.labels)
    assert evaluation.loss == cross_entropy(evaluation.logits, images.labels)


def test_evaluation_agrees_with_keras(small: Dataset) -> None:
    """Keras's own `evaluate` gives the same accuracy, and the loss to float32 rounding."""
    import keras

    from lenet_multi.inference.evaluate import evaluate
    from lenet_multi.training.model import build, compile_model

    model = build(RECIPES["standard"], (28, 28, 1))
    compile_model(
        model, RECIPES["standard"], execution(keras.backend.backend()), training_images=128
    )
    evaluation = evaluate(model, small.test)
    loss, accuracy = model.evaluate(
        small.test.images / np.float32(255), small.test.labels, verbose=0
    )
    assert round(accuracy * len(small.test)) == evaluation.correct
    np.testing.assert_allclose(loss, evaluation.loss, rtol=1e-5)


def test_shifted_labels_lower_the_count(small: Dataset) -> None:
    """The count depends on the labels: shifted by one they are not the same answers."""
    from lenet_multi.inference.evaluate import evaluate
    from lenet_multi.training.model import build

    model = build(RECIPES["standard"], (28, 28, 1))
    logits = evaluate(model, small.test).logits
    right = ImageSet(small.test.images, logits.argmax(axis=1).astype(np.uint8))
    wrong = ImageSet(small.test.images, (right.labels + 1) % 10)
    assert evaluate(model, right).correct == len(small.test)
    assert evaluate(model, wrong).correct == 0
