import dataclasses
from typing import Any

import pytest

from lenet_multi.config import PRECISIONS
from lenet_multi.machine import instruction_sets
from lenet_multi.parity.ladder import OPTIMIZER, STRUCTURE, Finding
from lenet_multi.parity.plan import ORACLE
from tests.processors import climbs


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with AVX2 and without AVX-512."""
    monkeypatch.setattr(climbs, "of_processor", lambda: instruction_sets.AVX2)


def finding(first: str, second: str, gap: float, *, rung: str = OPTIMIZER) -> dict[str, Any]:
    """Return the record of a finding with 1.0 allowed; on L0 nothing is allowed."""
    found = Finding(
        rung=rung,
        what="SGD",
        precision="float32",
        pair=(first, second),
        gap=gap,
        allowed=1.0 if rung == OPTIMIZER else 0.0,
        where="step 1",
    )
    return dataclasses.asdict(found)


def test_every_choice_of_instruction_sets_is_a_climb() -> None:
    """Two instruction sets and three backends give eight climbs; each has only its own findings."""
    found = {
        "failures": [],
        "findings": [
            finding("tensorflow@avx2", "jax@sse4.1", 2.0),
            finding("torch@avx2", ORACLE, 3.0),
        ],
    }
    judged = dict(climbs.judge(found, seed=4, threads=2))
    assert len(judged) == 8
    wrong = {name: len(findings) for name, findings in judged.items() if findings}
    assert wrong == {
        "seed 4, 2 threads, jax@sse4.1, tensorflow@avx2, torch@sse4.1": 1,
        "seed 4, 2 threads, jax@sse4.1, tensorflow@avx2, torch@avx2": 2,
        "seed 4, 2 threads, jax@avx2, tensorflow@avx2, torch@avx2": 1,
        "seed 4, 2 threads, jax@avx2, tensorflow@sse4.1, torch@avx2": 1,
        "seed 4, 2 threads, jax@sse4.1, tensorflow@sse4.1, torch@avx2": 1,
    }


def test_a_process_that_failed_fails_every_climb() -> None:
    """If a process fails, every climb fails."""
    found = {"failures": [{"child": "jax@avx2 float32", "reason": "crashed"}], "findings": []}
    assert all(wrong == ["jax@avx2 float32 crashed"] for _, wrong in climbs.judge(found, 0, 1))


def test_the_largest_share_is_told_by_instruction_sets() -> None:
    """The largest share is given for each instruction set and for mixed ones.

    A finding that is equal to the bit has no share.
    """
    found = {
        "findings": [
            finding("tensorflow@avx2", "jax@avx2", 0.2),
            finding("tensorflow@avx2", ORACLE, 0.4),
            finding("tensorflow@avx2", "jax@sse4.1", 0.3),
            finding("tensorflow@avx2", "jax@avx2", 0.0, rung=STRUCTURE),
        ]
    }
    told = [(row["instruction_sets"], row["share"]) for row in climbs.shares([(1, found)])]
    assert told == [("avx2", 0.4), ("mixed", 0.3)]


def test_the_first_seed_climbs_in_float64_too() -> None:
    """Only the first seed climbs in float64; the others climb in float32."""
    assert climbs.plan(0).precisions == PRECISIONS
    assert climbs.plan(1).precisions == ("float32",)
    assert climbs.plan(1).config.seed == 1
