import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.lenet.recipes import RECIPES

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def test_the_softmax_head_gives_probabilities_of_the_same_logits(small: Dataset) -> None:
    """The notebook's head is the softmax of the same logits, and `with_logits` removes it."""
    from lenet_multi.inference.heads import with_logits
    from lenet_multi.lenet.networks import build

    images = np.random.default_rng(0).random((8, 28, 28, 1), np.float32)
    softmax = build(RECIPES["notebook"], small)
    logits = build(TrainConfig(), small).predict(images, verbose=0)
    exponentials = np.exp(logits.astype(np.float64))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax.predict(images, verbose=0), probabilities, rtol=1e-5)
    np.testing.assert_array_equal(with_logits(softmax).predict(images, verbose=0), logits)


@pytest.mark.parametrize("head", ["logits", "softmax"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_probabilities_are_the_softmax_of_logits(head: str, policy: str) -> None:
    """A softmax is added only to logits; the probabilities are float32 under any policy."""
    import keras

    from lenet_multi.inference.heads import with_logits, with_probabilities
    from lenet_multi.lenet.networks import lenet

    images = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    model = lenet(head=head)  # with zero weights
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(0, 0.05, weight.shape) for weight in model.get_weights()])
    expected = keras.ops.softmax(with_logits(model)(images))
    keras.config.set_dtype_policy(policy)
    try:
        policied = lenet(head=head)
    finally:
        keras.config.set_dtype_policy("float32")
    policied.set_weights(model.get_weights())
    found = with_probabilities(policied)(images)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected), atol=1e-6
    )


def test_what_ends_in_no_probabilities_is_refused() -> None:
    """The error names a last layer that gives neither logits nor a softmax."""
    import keras

    from lenet_multi.inference.heads import with_probabilities

    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(name="flat")])
    with pytest.raises(UserError, match="last layer, flat, must give logits or a softmax"):
        with_probabilities(model)
