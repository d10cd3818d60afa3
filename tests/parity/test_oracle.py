import numpy as np

from lenet_multi.data.examples import Dataset, epoch_order
from lenet_multi.lenet import reference
from lenet_multi.parity import oracle
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.plan import ORACLE, Plan
from lenet_multi.training.initial_weights import draw_initial_weights


def test_the_oracle_goes_down(mnist: Dataset) -> None:
    """It trains in the order of all climbers: the loss falls, and is that of the first batch."""
    evidence, plan = Evidence(ORACLE, "today"), Plan(float64_images=20 * 32)
    oracle.climb(evidence, plan, mnist, lambda what, done, steps: None)
    losses = evidence.arrays["L4/losses"]
    assert len(losses) == 20
    assert losses[-3:].mean() < losses[0] - 0.5
    shapes = reference.shapes((28, 28, 1), 10)
    weights = [w.astype(np.float64) for w in draw_initial_weights(list(shapes.values()), seed=0)]
    first = epoch_order(640, seed=0, epoch=0)[:32]
    images, labels = mnist.train.x[first] / 255, mnist.train.y[first]
    assert losses[0] == reference.loss(weights, images, labels)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 431_080
