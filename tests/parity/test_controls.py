"""The ladder catches each sabotage of one backend on the rung where it belongs."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet_multi.config import PRECISIONS
from lenet_multi.data.examples import Dataset
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.instruction_sets import AVX2
from lenet_multi.parity import ladder
from lenet_multi.parity.ascent import Ascent, ascend
from lenet_multi.parity.figure import draw_gaps
from tests.parity.again import PLAN, SABOTAGED, climb_again, in_this_process
from tests.parity.sabotage import SABOTAGES, Modules, cases

pytestmark = pytest.mark.all_backends


@pytest.fixture(scope="module")
def ascent(tmp_path_factory: pytest.TempPathFactory) -> Ascent:
    """The climb of all backends, unharmed."""
    return ascend(BACKENDS, PLAN, tmp_path_factory.mktemp("ascent"), timeout=600)


@pytest.fixture
def torch() -> Iterator[Modules]:
    """Keras on torch in this process, put back to float32 afterwards."""
    with in_this_process() as of:
        yield of


def test_the_unharmed_climb_passes(ascent: Ascent) -> None:
    """All backends and the oracle agree on every rung, in both precisions."""
    assert ascent.failures == []
    assert [str(finding) for finding in ascent.findings if not finding.passed] == []
    assert {finding.rung for finding in ascent.findings} == set(ladder.RUNGS)
    assert {finding.precision for finding in ascent.findings} == set(PRECISIONS)


@pytest.mark.study
def test_climbing_again_unharmed_passes(
    torch: Modules, ascent: Ascent, mnist: Dataset, tmp_path: Path
) -> None:
    """Climbing again unharmed passes, so a climb in another process is not what fails."""
    assert ladder.first_failure(climb_again(torch, ascent, mnist, tmp_path)) is None


@pytest.mark.parametrize(
    ("name", "precision"), cases({name: one.precisions for name, one in SABOTAGES.items()})
)
def test_a_sabotage_is_caught_where_it_belongs(
    name: str,
    precision: str,
    torch: Modules,
    ascent: Ascent,
    mnist: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first failed finding names the rung, the place and the backend.

    Each precision climbs alone, so neither is caught by the other's limits.
    """
    sabotage = SABOTAGES[name]
    sabotage.do(monkeypatch, torch)
    findings = climb_again(
        torch, ascent, mnist, tmp_path, precisions=(precision,), rung=sabotage.rung
    )
    first = ladder.first_failure(findings)
    assert first is not None, "not caught"
    found = (first.rung, first.what, first.precision)
    assert found == (sabotage.rung, sabotage.what, precision), str(first)
    assert first.where.startswith(sabotage.where), str(first)
    assert SABOTAGED in first.pair


@pytest.mark.study
def test_an_older_processor_trains_the_same(tmp_path: Path) -> None:
    """Backends limited to AVX2 agree with each other, and with those without a limit."""
    everyone = [*BACKENDS, *(f"{backend}@{AVX2}" for backend in BACKENDS)]
    plan = dataclasses.replace(PLAN, saved_after=0, precisions=("float32",))
    found = ascend(everyone, plan, tmp_path, timeout=600)
    assert found.failures == []
    assert [str(finding) for finding in found.findings if not finding.passed] == []
    for backend in BACKENDS:
        held = found.ladder.climbed[f"{backend}@{AVX2}", "float32"]
        assert held.record["instruction_set"] == AVX2


@pytest.mark.parametrize("missing", BACKENDS)
def test_a_climb_that_failed_leaves_the_others(
    missing: str, ascent: Ascent, tmp_path: Path
) -> None:
    """Without one backend's float32 climb, everything else is still compared and drawn."""
    climbed = dict(ascent.ladder.climbed)
    del climbed[missing, "float32"]
    rest = dataclasses.replace(ascent.ladder, climbed=climbed)
    findings = ladder.compare(rest)
    pairs = {finding.pair for finding in findings if finding.precision == "float32"}
    assert pairs
    assert not any(missing in pair for pair in pairs)
    assert any(missing in f.pair for f in findings if f.precision == "float64")
    assert ladder.first_failure(findings) is None
    draw_gaps(rest, tmp_path / "gaps.png")
