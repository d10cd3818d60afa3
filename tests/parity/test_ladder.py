import math

import pytest

from lenet_multi.parity.ladder import FORWARD, Finding, _judge, first_failure

PAIR = ("jax", "torch")


def judged(gaps: dict[str, float]) -> Finding:
    """Return the finding on gaps by place, with 1.0 allowed."""
    return _judge(FORWARD, "losses", "float32", PAIR, gaps, 1.0)


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
