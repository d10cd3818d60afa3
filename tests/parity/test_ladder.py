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
    """A failed finding names the first step and tensor over the limit, not the largest gap."""
    finding = judged({"1/conv1/kernel": 0.5, "2/conv1/bias": 1.1, "3/conv1/kernel": 99.0})
    assert not finding.passed
    assert finding.where == "step 2, conv1/bias"
    assert str(finding) == (
        "L1 forward, losses, float32, jax and torch: step 2, conv1/bias: 1.1, allowed 1"
    )


def test_the_largest_gap_within_the_limit_is_named() -> None:
    """A passed finding names the place nearest to its limit."""
    finding = judged({"1": 0.25, "2": 1.0, "3": 0.5})
    assert finding.passed
    assert (finding.where, finding.share) == ("step 2", 1.0)


@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_what_is_no_number_fails(gap: float) -> None:
    """A gap of NaN or infinity always fails."""
    assert not judged({"1": 0.0, "2": gap, "3": 0.0}).passed


def test_the_lowest_rung_to_fail_comes_first() -> None:
    """The verdict names the lowest rung's failed finding."""
    findings = [judged({"1": 0.1}), judged({"1": 5.0}), judged({"1": 7.0})]
    assert first_failure(findings) is findings[1]
    assert first_failure(findings[:1]) is None


def trained(*, torch_moves: float, twin_moves: float) -> Finding:
    """Return the finding on SGD when torch and one of its twins moved differently at step 5.

    JAX, and every other tensor, moves by 1 at each step.
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
    return next(_optimizer(ladder, "float32"))  # the finding on SGD


def test_a_decision_that_rounding_turns_is_allowed() -> None:
    """A pair may differ as far as a twin of either backend differs."""
    assert trained(torch_moves=5.02, twin_moves=4e-3).passed


def test_what_no_twin_shows_is_a_difference() -> None:
    """The same gap fails if every twin stays close, and the step and tensor are named."""
    found = trained(torch_moves=5.02, twin_moves=1e-6)
    assert not found.passed
    assert found.where == "step 5, conv1/kernel"
    assert found.allowed == pytest.approx(tolerances.TWINS.value * 1e-6)


def test_weights_that_do_not_move_are_a_difference() -> None:
    """A layer that is frozen on one backend fails: rounding excuses it in neither direction."""
    assert not trained(torch_moves=0.0, twin_moves=1e-6).passed
    assert not trained(torch_moves=0.0, twin_moves=math.inf).passed
    assert not trained(torch_moves=5.02, twin_moves=math.inf).passed
