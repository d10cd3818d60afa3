import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.parity.climber import Climber
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.plan import Plan
from tests.guest import GUEST

pytestmark = pytest.mark.backend


def test_a_model_of_two_inputs_is_filed_in_full(backend: str) -> None:
    """Equal batches have equal digests, and each weight of a functional model has its own name."""
    from lenet_multi.parity.climb import Climb, _model

    config = TrainConfig(architecture="tests.guest:GUEST")
    dataset, how = GUEST.load(config), Climber.of(backend).here()
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
