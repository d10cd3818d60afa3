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


FACTS = {"parameters": 1_000_000, "forward_seconds": 0.01}


def test_the_seconds_are_those_of_all_steps() -> None:
    """Five runs of 80 steps and of ten after each move, after a start of 14 seconds each."""
    assert estimate.seconds(FACTS, PLAN, 2, 1) == pytest.approx(8 * (14 + (400 + 100) * 0.005))
    assert estimate.seconds(FACTS, PLAN, 2, 4) == pytest.approx(2 * (14 + (400 + 100) * 0.005))
    assert estimate.seconds(FACTS, QUICK, 3, 1) == pytest.approx(3 * (14 + 5 * 50 * 0.005))


def test_the_memory_is_that_of_all_copies() -> None:
    """Five runs keep the initial weights and those of six or five steps; one step has six more."""
    assert estimate.memory_bytes(FACTS, PLAN) == pytest.approx(0.7e9 + (5 * 7 + 6) * 8e6)
    assert estimate.memory_bytes(FACTS, QUICK) == pytest.approx(0.7e9 + (5 * 6 + 6) * 4e6)


@pytest.mark.parametrize(
    ("threads", "forward_seconds", "line"),
    [
        (1, 0.01, "1 minute and 3.8 GiB of memory"),
        (2, 0.01, "2 minutes and 1.9 GiB of memory; --quick, --steps and --precision shorten it"),
        (8, 0.0, "3 minutes and 1.0 GiB of memory; --quick, --steps and --precision shorten it"),
    ],
)
def test_as_many_climb_at_once_as_there_are_threads(
    monkeypatch: pytest.MonkeyPatch, threads: int, forward_seconds: float, line: str
) -> None:
    """Each process takes its memory; more of them take less time."""
    monkeypatch.setattr("lenet_multi.machine.environment.threads", lambda: 4)
    monkeypatch.setattr("lenet_multi.machine.environment.memory_bytes", lambda: None)
    said: list[str] = []
    facts = {"parameters": 1_000_000, "forward_seconds": forward_seconds}
    estimate.announce(facts, PLAN, ["jax", "torch", "tensorflow"], threads, said.append)
    assert said == [f"mine.py:build (1,000,000 parameters): the climb takes about {line}"]


@pytest.mark.parametrize(("plan", "shorter"), [(PLAN, True), (QUICK, False)])
def test_a_climb_of_a_minute_needs_no_shortening(plan: Plan, shorter: bool) -> None:
    """A minute is the least that is said, and then nothing shortens it."""
    assert ("shorten it" in said(10, plan)) is shorter
    assert "about 0 minutes" not in said(10, QUICK)


def test_the_memory_that_is_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A climb may take all memory, but no byte more; the error has both sizes."""
    monkeypatch.setattr("lenet_multi.machine.environment.threads", lambda: 1)
    needed = estimate.memory_bytes(FACTS, PLAN)
    monkeypatch.setattr("lenet_multi.machine.environment.memory_bytes", lambda: needed)
    assert said(1_000_000)
    monkeypatch.setattr("lenet_multi.machine.environment.memory_bytes", lambda: 2**29)
    with pytest.raises(UserError) as refused:
        said(1_000_000)
    assert str(refused.value) == (
        "mine.py:build: 1,000,000 parameters need about 1 GiB of memory for the climb; this "
        "machine has 0 GiB: give fewer --steps, --precision float32, or a smaller model of the "
        "same layers"
    )


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (20.0, "about 1 minute and 0.7 GiB of memory"),
        (60.0, "about 1 minute and 0.7 GiB of memory"),
        (
            91.0,
            "about 2 minutes and 0.7 GiB of memory; --quick, --steps and --precision shorten it",
        ),
    ],
)
def test_minutes_are_rounded(monkeypatch: pytest.MonkeyPatch, seconds: float, line: str) -> None:
    """A climb of more than one can be shortened."""
    monkeypatch.setattr(estimate, "seconds", lambda *known: seconds)
    monkeypatch.setattr("lenet_multi.machine.environment.threads", lambda: 1)
    assert said(10).endswith(line)


def test_only_whole_processes_climb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five threads are for two processes of two; the error has the memory that is there."""
    monkeypatch.setattr("lenet_multi.machine.environment.threads", lambda: 5)
    monkeypatch.setattr("lenet_multi.machine.environment.memory_bytes", lambda: 3 * 2**30)
    lines: list[str] = []
    estimate.announce(FACTS, PLAN, ["jax", "torch"], 2, lines.append)
    assert " and 1.9 GiB of memory" in lines[0]
    with pytest.raises(UserError, match=r"this machine has 3 GiB: give fewer"):
        estimate.announce(FACTS | {"parameters": 10**9}, PLAN, ["jax", "torch"], 2, lines.append)


def test_the_last_step_is_kept_too() -> None:
    """Of 49 steps the weights after 1, 2, 5, 10, 20 and 49."""
    plan = Plan.for_own(PLAN.config, steps=49)
    assert estimate.memory_bytes(FACTS, plan) == pytest.approx(0.7e9 + (5 * 7 + 6) * 8e6)
