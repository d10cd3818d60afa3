import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from tests.conftest import train_quietly
from tests.training.test_setup import PARAMETERS

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

# Sums of 800 products: 800 roundings of 6e-8 in the worst case; measured 1e-6 of the largest.
ROUNDING = 1e-5


@pytest.mark.parametrize("inception", [False, True], ids=["lenet", "inception"])
def test_a_folded_network_gives_the_same_answers(small: Dataset, inception: bool) -> None:
    """Whatever was learned, the LeNet without normalisation answers alike, to rounding."""
    from lenet_multi.lenet import folding, networks

    config = TrainConfig(batch_norm=True, inception=inception)
    model = networks.build(config, small)
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            count = layer.get_weights()[0].shape
            layer.set_weights(
                [draw.normal(0, 0.1, count), draw.normal(size=count), draw.uniform(0.2, 5, count)]
            )
    images = small.test.x / np.float32(255)
    wanted = model.predict(images, verbose=0)
    stock = folding.folded(model, config)
    assert not [layer for layer in stock.layers if "norm" in layer.name]
    gap = np.abs(stock.predict(images, verbose=0) - wanted).max()
    assert 0 < gap < ROUNDING * np.abs(wanted).max()


def test_a_run_keeps_the_stock_network(small: Dataset, backend: str) -> None:
    """A run with batch normalisation keeps the notebook's LeNet, which answers as in validation."""
    config = TrainConfig(batch_norm=True, epochs=12)  # until the statistics follow
    run = train_quietly(config, small, backend)
    assert run.model.count_params() == run.result.parameters == PARAMETERS
    names = [layer.name for layer in run.model.layers]
    assert names == ["conv1", "pool1", "conv2", "pool2", "flatten", "dense1", "dense2"]
    validation = small.train[950:]
    logits = run.model.predict(validation.x / np.float32(255), verbose=0)
    right = int((logits.argmax(axis=1) == validation.y).sum())
    assert right == round(50 * run.result.epochs[-1]["val_accuracy"])
    assert run.result.test_accuracy is not None
    assert run.result.test_accuracy > 0.5


def test_a_sharpened_network_has_larger_logits() -> None:
    """Logits are multiplied by the temperature; the answers stay the same."""
    from lenet_multi.lenet import folding, networks

    model = networks.lenet()
    networks.draw(model, seed=0)
    images = np.random.default_rng(0).uniform(size=(4, 28, 28, 1)).astype(np.float32)
    before = model.predict(images, verbose=0)
    folding.sharpen(model, 3.0)
    gap = np.abs(model.predict(images, verbose=0) - 3 * before).max()
    assert gap < ROUNDING * np.abs(3 * before).max()
