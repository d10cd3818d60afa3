import math

import numpy as np
import pytest

from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.ladder import FORWARD, Finding, Ladder, _optimizer, _Two, first_failure
from lenet_multi.parity.plan import Plan
from lenet_multi.runs import tolerances

PAIR = ("jax", "torch")


def judged(gaps: dict[str, float]) -> Finding:
    """Return the finding on gaps by place, with 1.0 allowed."""
    ladder = Ladder(backends=PAIR, climbed={}, gone_on={}, plan=Plan())
    return _Two(ladder, "float32", PAIR).judge(FORWARD, "losses", gaps, 1.0)


def test_the_first_place_over_the_limit_is_named() -> None:
    """Not the largest gap but the first step and tensor tells where to look."""
    finding = judged({"1/conv1/kernel": 0.5, "2/conv1/bias": 1.1, "3/conv1/kernel": 99.0})
    assert not finding.passed
    assert finding.where == "step 2, conv1/bias"
    assert str(finding) == (
        "L1 forward, losses, float32, jax and torch: step 2, conv1/bias: 1.1, allowed 1"
    )


def test_the_largest_gap_within_the_limit_is_named() -> None:
    """When all is well, what is nearest to the limit is shown."""
    finding = judged({"1": 0.25, "2": 1.0, "3": 0.5})
    assert finding.passed
    assert (finding.where, finding.share) == ("step 2", 1.0)


@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_what_is_no_number_fails(gap: float) -> None:
    """A run that diverged is never taken for an equal one."""
    assert not judged({"1": 0.0, "2": gap, "3": 0.0}).passed


def test_the_lowest_rung_to_fail_comes_first() -> None:
    """The verdict names one finding, the lowest."""
    findings = [judged({"1": 0.1}), judged({"1": 5.0}), judged({"1": 7.0})]
    assert first_failure(findings) is findings[1]
    assert first_failure(findings[:1]) is None


def trained(*, torch_moves: float, twin_moves: float) -> Finding:
    """Return the finding on SGD when torch and one of its twins moved otherwise at step 5.

    JAX, and all else, moved by 1 at each step.
    """
    steps = {1: 1.0, 2: 2.0, 5: 5.0, 10: 10.0}

    def evidence(backend: str, of_step_5: float) -> Evidence:
        arrays = {"L0/conv1/kernel": np.zeros(4, np.float32)}
        for step, moved in steps.items():
            weights = np.full(4, of_step_5 if step == 5 else moved, np.float32)
            arrays[f"L3/SGD/{step}/conv1/kernel"] = weights
            gaps = [0.0, twin_moves if step == 5 and backend == "torch" else 0.0]
            arrays[f"twins/L3/SGD/{step}/conv1/kernel"] = np.array(gaps)
        return Evidence(backend, "", arrays=arrays)

    climbed = {
        ("jax", "float32"): evidence("jax", 5.0),
        ("torch", "float32"): evidence("torch", torch_moves),
    }
    ladder = Ladder(backends=PAIR, climbed=climbed, gone_on={}, plan=Plan())
    return next(_optimizer(ladder, "float32"))  # of SGD


def test_a_decision_that_rounding_turns_is_allowed() -> None:
    """Where a twin of either backend parted as far, so may the pair."""
    assert trained(torch_moves=5.02, twin_moves=4e-3).passed


def test_what_no_twin_shows_is_a_difference() -> None:
    """The same gap, while every twin stays with its own: the step and the tensor are named."""
    found = trained(torch_moves=5.02, twin_moves=1e-6)
    assert not found.passed
    assert found.where == "step 5, conv1/kernel"
    assert found.allowed == pytest.approx(tolerances.TWINS.value * 1e-6)


def test_weights_that_do_not_move_are_a_difference() -> None:
    """A layer that is frozen on one backend has no rounding to excuse it, either way round."""
    assert not trained(torch_moves=0.0, twin_moves=1e-6).passed
    assert not trained(torch_moves=0.0, twin_moves=math.inf).passed
    assert not trained(torch_moves=5.02, twin_moves=math.inf).passed
