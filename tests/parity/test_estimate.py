import pytest

from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import UserError
from lenet_multi.parity import estimate
from lenet_multi.parity.plan import Plan

PLAN = Plan.for_own(with_settings(TrainConfig(), {"architecture": "mine.py:build"}))
QUICK = Plan.for_own(PLAN.config, quick=True, precisions=["float32"])


def said(parameters: int, plan: Plan = PLAN, forward_seconds: float = 0.01) -> str:
    """Return what is said before the climb of a model of so many parameters."""
    lines: list[str] = []
    facts = {"parameters": parameters, "forward_seconds": forward_seconds}
    estimate.announce(facts, plan, ["jax", "torch"], 1, lines.append)
    (line,) = lines
    return line


def test_the_time_and_the_memory_are_said() -> None:
    """The line names the model, its size, and how to shorten the climb."""
    line = said(4_371)
    assert line.startswith("mine.py:build (4,371 parameters): the climb takes about ")
    assert line.endswith("GiB of memory; --quick, --steps and --precision shorten it")


def test_a_quick_climb_takes_less() -> None:
    """Fewer steps, one precision and no L6 are a fraction of the whole."""
    facts = {"parameters": 4_371, "forward_seconds": 0.01}
    assert estimate.seconds(facts, QUICK, 2, 2) < estimate.seconds(facts, PLAN, 2, 2) / 3
    assert estimate.memory_bytes(facts, QUICK) < estimate.memory_bytes(facts, PLAN)


def test_a_model_too_large_for_memory_is_refused() -> None:
    """A hundred billion parameters fit no machine; the line says what shortens the climb."""
    with pytest.raises(UserError, match=r"100,000,000,000 parameters need about .* --precision"):
        said(10**11)
