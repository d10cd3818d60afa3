"""The ladder catches what it should: one backend is sabotaged, the first rung to fail is known."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet_multi.backends import BACKENDS
from lenet_multi.data import Dataset
from lenet_multi.parity import ladder
from lenet_multi.parity.ascent import Ascent, ascend
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.figure import draw_gaps
from lenet_multi.parity.ladder import Finding
from lenet_multi.parity.plan import PRECISIONS, Plan
from tests.conftest import start_once
from tests.parity.sabotage import SABOTAGES, Modules, Sabotage

pytestmark = pytest.mark.all_backends

SABOTAGED = "torch"  # the quickest to climb again: it compiles nothing

# 21 steps in each precision, the last batch smaller
PLAN = Plan(float32_images=20 * 128 + 12, float64_images=20 * 32 + 25, one_ulp_steps=21)

# The functions of `climb` that take long, for they trace PyTorch's steps, by rung.
CLIMBS = {ladder.OPTIMIZER: "_optimizer", ladder.TRAJECTORY: "_trajectory"}


@pytest.fixture(scope="module")
def ascent(tmp_path_factory: pytest.TempPathFactory) -> Ascent:
    """All backends climb, unharmed."""
    return ascend(BACKENDS, PLAN, tmp_path_factory.mktemp("ascent"), timeout=600)


def climb_again(
    of: Modules,
    ascent: Ascent,
    mnist: Dataset,
    folder: Path,
    *,
    precisions: tuple[str, ...] = PRECISIONS,
    rung: str = ladder.PORTABILITY,
) -> list[Finding]:
    """Return the findings when torch climbs again in this process, as it is now, to `rung`.

    What belongs to higher rungs, whose names sort after, is the unharmed climb's.
    """
    climbed, gone_on = dict(ascent.ladder.climbed), dict(ascent.ladder.gone_on)
    for precision in precisions:
        of.keras.config.set_floatx(precision)
        of.keras.config.set_dtype_policy(precision)
        unharmed = ascent.ladder.climbed[SABOTAGED, precision]
        higher = {name: array for name, array in unharmed.arrays.items() if name[:2] > rung[:2]}
        evidence = Evidence(SABOTAGED, "", dict(unharmed.facts), higher)
        continued = Evidence(SABOTAGED, "")
        saved = folder / f"{precision}.keras"
        with pytest.MonkeyPatch.context() as patch:
            for its_rung, climbs in CLIMBS.items():
                if its_rung > rung:
                    patch.setattr(of.climb, climbs, nothing)
            of.climb.climb(evidence, PLAN, mnist, nothing, save_to=saved)
        climbed[SABOTAGED, precision] = evidence
        if rung == ladder.PORTABILITY:
            of.climb.go_on(continued, PLAN, mnist, {SABOTAGED: saved}, nothing)
            continued.arrays = gone_on[SABOTAGED, precision].arrays | continued.arrays
            gone_on[SABOTAGED, precision] = continued
    return ladder.compare(dataclasses.replace(ascent.ladder, climbed=climbed, gone_on=gone_on))


def nothing(*_: object, **__: object) -> None:
    """Tell nobody; climb nowhere."""


@pytest.fixture
def torch() -> Iterator[Modules]:
    """Keras on torch in this process, put back to float32 afterwards.

    On one processor, since torch's threads wait for one another where others work too.
    """
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(processors)})
    keras = start_once(SABOTAGED)
    from lenet_multi import batches, model
    from lenet_multi.parity import climb

    yield Modules(keras, climb, model, batches)
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    os.sched_setaffinity(0, processors)


def test_the_unharmed_climb_passes(ascent: Ascent) -> None:
    """All backends and the oracle agree at every rung, in both precisions."""
    assert ascent.failures == []
    assert [str(finding) for finding in ascent.findings if not finding.passed] == []
    assert {finding.rung for finding in ascent.findings} == set(ladder.RUNGS)
    assert {finding.precision for finding in ascent.findings} == set(PRECISIONS)


def test_climbing_again_unharmed_passes(
    torch: Modules, ascent: Ascent, mnist: Dataset, tmp_path: Path
) -> None:
    """What catches the sabotages below is not that torch climbs in another process."""
    assert ladder.first_failure(climb_again(torch, ascent, mnist, tmp_path)) is None


@pytest.mark.parametrize(
    ("sabotage", "precision"),
    [
        pytest.param(sabotage, precision, id=f"{name}, {precision}")
        for name, sabotage in SABOTAGES.items()
        for precision in sabotage.precisions
    ],
)
def test_a_sabotage_is_caught_where_it_belongs(
    sabotage: Sabotage,
    precision: str,
    torch: Modules,
    ascent: Ascent,
    mnist: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first finding to fail names the rung, the place and the backend.

    Each precision climbs alone, so that neither is caught by the other's limits.
    """
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


@pytest.mark.parametrize("missing", BACKENDS)
def test_a_climb_that_failed_leaves_the_others(
    missing: str, ascent: Ascent, tmp_path: Path
) -> None:
    """Without one backend's float32 climb, what all others left is compared and drawn."""
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
