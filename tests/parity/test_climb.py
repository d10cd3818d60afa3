import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.parity.climber import Climber
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.plan import Plan
from tests.guest import GUEST

pytestmark = pytest.mark.backend


def test_only_the_built_in_networks_are_proven_in_float64(backend: str) -> None:
    """The LeNet's layers are; a normalisation, a dropout and a tanh are not."""
    from lenet_multi.lenet import networks
    from lenet_multi.parity.float64 import exact_model, unproven

    for build in networks.NETWORKS.values():
        assert unproven(exact_model(build((28, 28, 1), 10, head="softmax"))) == []
    config = TrainConfig(architecture="tests.guest:GUEST")
    guest = unproven(GUEST.build(config, GUEST.load(config)))
    assert {"BatchNormalization", "Dropout", "tanh"} <= {*guest}


def test_a_model_of_two_inputs_is_filed_in_full(backend: str) -> None:
    """Equal batches have equal digests, and each weight of a functional model has its own name."""
    from lenet_multi.parity.climb import Climb, _model

    config = TrainConfig(architecture="tests.guest:GUEST")
    dataset, how = GUEST.load(config), Climber.of(backend).execution()
    model = _model(GUEST, config, dataset, how)

    def filed(kinds: NDArray[np.int32]) -> Evidence:
        evidence = Evidence(backend, "")
        climb = Climb(evidence, Plan(config=config), GUEST, dataset, how, tell=print)
        x = {"points": dataset.train.x["points"].copy(), "kinds": kinds}
        climb._structure(model, (x, dataset.train.y))
        return evidence

    first, again, other = (filed(dataset.train.x["kinds"] + off) for off in (0, 0, 1))
    assert first.facts == again.facts
    assert first.facts["batch"]["images"] != other.facts["batch"]["images"]
    assert len(first.facts["tensors"]) == len(first.arrays) == len(model.weights)
