import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.lenet.tasks import LENET, SOFTMAX_REGRESSION
from lenet_multi.own.find import find_task
from lenet_multi.task import Task

each_task = pytest.mark.parametrize("task", [LENET, SOFTMAX_REGRESSION], ids=lambda t: t.name)


@pytest.mark.parametrize("recipe", RECIPES)
def test_labels_are_one_hot_where_the_loss_wants_that(small: Dataset, recipe: str) -> None:
    """Categorical cross-entropy gets one-hot rows, the sparse loss gets the labels."""
    config = RECIPES[recipe]
    targets = find_task(config).targets(config, small.test.y)
    if config.loss == "sparse_categorical_crossentropy":
        assert targets is small.test.y
        return
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets.argmax(axis=1), small.test.y)
    np.testing.assert_array_equal(targets.sum(axis=1), 1)


@each_task
def test_a_task_is_found_by_the_name_that_it_has(task: Task) -> None:
    """A task is found by the name that recipes use."""
    assert find_task(TrainConfig(architecture=task.name)) is task


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@each_task
def test_a_task_and_its_reference_are_one_network(small: Dataset, task: Task) -> None:
    """Names, initial weights and logits of Keras's model equal those of NumPy's in float64."""
    config = next(one for one in RECIPES.values() if one.architecture == task.name)
    model = task.build(config, small)
    assert task.reference
    reference = task.reference(config, small)
    paths = [weight.path.partition("/")[2] for weight in model.weights]
    assert paths == list(reference.names)
    weights = reference.initial_weights(config.seed)
    for ours, theirs in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    images = small.test.x[:8]
    wanted = reference.forward(weights, task.prepare(images, "float64"))
    found = np.asarray(model.predict_on_batch(task.prepare(images)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
