"""The committed study of thirteen models: what it found is known, and the page shows it."""

import re

import pytest

from benchmarks.report import RESULTS, clean_pairs, models_table, read
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity.known import KNOWN
from lenet_multi.parity.ladder import FORWARD, Finding
from tests.conftest import PROJECT
from tests.models import NAMES
from tests.models.differences import DIFFERENCES, unexplained, unseen

STUDY = read(RESULTS / "models.json")
PAGE = (PROJECT / "lenet_multi" / "parity" / "MODELS.md").read_text()
README = (PROJECT / "README.md").read_text()
MOST_SECONDS = 300  # of a full climb on two cores

CLIMBS = {f"{climb['model']}-{climb['seed']}": climb for climb in STUDY["climbs"]}


@pytest.mark.parametrize("name", CLIMBS)
def test_only_known_differences_fail(name: str) -> None:
    """Every rung passes on all pairs, or fails where a real divergence is known and is seen."""
    climb = CLIMBS[name]
    findings = [Finding.of(found) for found in climb["findings"]]
    assert climb["failures"] == []
    assert [str(found) for found in unexplained(climb["model"], findings)] == []
    assert unseen(climb["model"], findings) == []
    assert {backend for found in findings for backend in found.pair} == set(BACKENDS)


def test_each_known_difference_has_a_finding() -> None:
    """Each difference of the models points to a finding of the page of findings."""
    anchors = {known.anchor for known in KNOWN}
    assert {one.finding for known in DIFFERENCES.values() for one in known} <= anchors


def test_no_false_alarm_in_two_hundred_pairs() -> None:
    """Over models, seeds, pairs and precisions, no pair failed without a known cause."""
    pairs, alarms = clean_pairs(STUDY, lambda model, found: not unexplained(model, [found]))
    assert (pairs >= 200, alarms) == (True, 0)
    assert f"{pairs} pairs" in PAGE
    assert {climb["model"] for climb in STUDY["climbs"]} >= set(NAMES)


def test_the_page_shows_the_study() -> None:
    """The table comes from the committed study, and each full climb took under five minutes."""
    assert models_table(STUDY) in PAGE
    assert max(climb["seconds"] for climb in STUDY["climbs"]) < MOST_SECONDS
    assert STUDY["machine"]["processor"] in PAGE


def test_the_readme_quotes_a_difference_that_was_found() -> None:
    """The line of the README is the first failure of the residual network."""
    found = [Finding.of(one) for one in CLIMBS["resnet-0"]["findings"]]
    first = next(one for one in found if one.rung == FORWARD and not one.passed)
    assert f"They DIFFER, first at {first}" in re.sub(r"\s+", " ", README)
