from lenet_multi.data.examples import Dataset, epoch_order
from lenet_multi.lenet import reference
from lenet_multi.lenet.tasks import LENET
from lenet_multi.parity import oracle
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.plan import ORACLE, Plan


def test_the_oracle_goes_down(mnist: Dataset) -> None:
    """The oracle trains in every climber's order: its loss starts as theirs, and falls."""
    evidence, plan = Evidence(ORACLE, "today"), Plan(float64_images=20 * 32)
    oracle.climb(evidence, plan, LENET, mnist, lambda what, done, steps: None)
    losses = evidence.arrays["L4/losses"]
    assert len(losses) == 20
    assert losses[-3:].mean() < losses[0] - 0.5
    network = reference.lenet(plan.config, mnist)
    weights = network.initial_weights(seed=0)
    first = epoch_order(640, seed=0, epoch=0)[:32]
    images, labels = mnist.train.x[first] / 255, mnist.train.y[first]
    assert losses[0] == network.loss(weights, images, labels)
    assert sum(weight.size for weight in weights) == 431_080
